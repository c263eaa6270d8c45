#!/bin/sh
# Submit, be told over SSE, with nothing but curl. Usage: sh examples/submit.sh [URL]
set -eu
url=${1:-http://127.0.0.1:4000/graphql}

id=$(curl -sS "$url" -H 'content-type: application/json' -d '{
  "query": "mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }",
  "variables": { "input": { "iris": { "sepalLengthCm": 5.1, "sepalWidthCm": 3.5, "petalLengthCm": 1.4, "petalWidthCm": 0.2 } } }
}' | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
[ -n "$id" ] || { echo "no task was accepted at $url: does it run, and does it ask for a key?" >&2; exit 1; }
echo "task $id"

# -N prints each event as it comes; the stream ends by itself after the one event.
curl -sSN "$url" -H 'content-type: application/json' -H 'accept: text/event-stream' -d '{
  "query": "subscription ($id: ID!) { taskCompleted(id: $id) { id state prediction { __typename ... on IrisPrediction { label } } } }",
  "variables": { "id": "'"$id"'" }
}'
