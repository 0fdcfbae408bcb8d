import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.MessageWriter;
import io.cloudevents.http.HttpMessageFactory;
import io.cloudevents.jackson.JsonFormat;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;

/** Sends events with CloudEvents' SDK for Java: Client <url> <order>. It has no batches. */
public final class Client {
  public static void main(String[] args) throws Exception {
    post(args[0], connection -> writer(connection).writeBinary(event("1", "paid", args[1])));
    post(
        args[0],
        connection ->
            writer(connection).writeStructured(event("2", "packed", args[1]), JsonFormat.CONTENT_TYPE));
  }

  private static CloudEvent event(String id, String kind, String order) {
    String data = "{\"order\": \"" + order + "\", \"amount\": 3}";
    return CloudEventBuilder.v1()
        .withId(id)
        .withSource(URI.create("/clients/java"))
        .withType("com.shop." + kind)
        .withSubject("caf\u00e9 50%")
        .withExtension("country", "NO")
        .withData("application/json", data.getBytes(StandardCharsets.UTF_8))
        .build();
  }

  private interface Send {
    void to(HttpURLConnection connection) throws Exception;
  }

  private static void post(String url, Send send) throws Exception {
    HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
    connection.setRequestMethod("POST");
    connection.setDoOutput(true);
    send.to(connection);
    if (connection.getResponseCode() != 204) {
      throw new IllegalStateException("answered " + connection.getResponseCode());
    }
  }

  private static MessageWriter<?, ?> writer(HttpURLConnection connection) {
    return HttpMessageFactory.createWriter(
        connection::setRequestProperty,
        body -> {
          try {
            connection.getOutputStream().write(body);
          } catch (java.io.IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }
}
