"""Sends events with CloudEvents' SDK for Python: client.py <url> <order>. It has no batches."""

import sys
from urllib.request import Request, urlopen

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent


def event(id, kind, order):
    return CloudEvent(
        {
            "id": id,
            "source": "/clients/python",
            "type": f"com.shop.{kind}",
            "subject": "café 50%",
            "country": "NO",
            "datacontenttype": "application/json",
        },
        {"order": order, "amount": 3},
    )


def post(url, message):
    with urlopen(Request(url, data=message.body, headers=message.headers)) as response:
        assert response.status == 204, response.status


url, order = sys.argv[1:]
post(url, to_binary_event(event("1", "paid", order)))
post(url, to_structured_event(event("2", "packed", order)))
