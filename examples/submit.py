"""Submit, be told over SSE, with Python's standard library alone. Usage: python3 examples/submit.py [URL]"""
import json
import sys
import urllib.request

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4000/graphql"


def post(query, variables, accept="application/json"):
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"content-type": "application/json", "accept": accept}
    return urllib.request.urlopen(urllib.request.Request(URL, body, headers))


def events(stream):
    """The (event, data) pairs of a text/event-stream, as they come."""
    event, data = "message", []
    for line in stream:
        name, _, value = line.decode().rstrip("\n").partition(":")
        if name == "event":
            event = value.strip()
        elif name == "data":
            data.append(value.strip())
        elif name == "" and value == "" and (data or event != "message"):
            yield event, "\n".join(data)
            event, data = "message", []


flower = {"sepalLengthCm": 5.1, "sepalWidthCm": 3.5, "petalLengthCm": 1.4, "petalWidthCm": 0.2}
with post("mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }", {"input": {"iris": flower}}) as answer:
    task_id = json.load(answer)["data"]["submitPrediction"]["id"]
print("task", task_id)

subscription = "subscription ($id: ID!) { taskCompleted(id: $id) { id state prediction { __typename ... on IrisPrediction { label } } } }"
with post(subscription, {"id": task_id}, accept="text/event-stream") as stream:
    for event, data in events(stream):
        if event == "complete":
            break
        print(json.dumps(json.loads(data)["data"]))
