// Sends events with CloudEvents' SDK for Go: main <url> <order>. Each event is a part of a set; the last two are a batch.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func event(id string, kind string, order string) cloudevents.Event {
	event := cloudevents.NewEvent()
	event.SetID(id)
	event.SetSource("/clients/go")
	event.SetType("com.shop." + kind)
	event.SetSubject("café 50%")
	event.SetExtension("country", "NO")
	if err := event.SetData(cloudevents.ApplicationJSON, map[string]any{"order": order, "amount": 3}); err != nil {
		log.Fatal(err)
	}
	return event
}

func main() {
	url, order := os.Args[1], os.Args[2]
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(url))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if result := client.Send(cloudevents.WithEncodingBinary(ctx), event("1", "paid", order)); !cloudevents.IsACK(result) {
		log.Fatal(result)
	}
	if result := client.Send(cloudevents.WithEncodingStructured(ctx), event("2", "packed", order)); !cloudevents.IsACK(result) {
		log.Fatal(result)
	}
	batch := []cloudevents.Event{event("3", "paid", order+" batch"), event("4", "packed", order+" batch")}
	request, err := cehttp.NewHTTPRequestFromEvents(ctx, url, batch)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	if response.StatusCode != http.StatusNoContent {
		log.Fatal(response.Status)
	}
}
