#!/bin/sh
# Creates holdfast's namespace and its search attributes, or brings an existing namespace to the retention asked for.
# Run after the server, at every start. The temporal CLI reads TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE itself.
set -eu

# Repeats a command until it succeeds: each of these waits is for the server to read what it was told a moment ago.
within_two_minutes() {
  what=$1
  shift
  attempts=120
  until "$@"; do
    attempts=$((attempts - 1))
    if [ "$attempts" -eq 0 ]; then
      echo "$what: not after two minutes at $TEMPORAL_ADDRESS. See: docker compose logs temporal" >&2
      exit 1
    fi
    sleep 1
  done
}

# An open port is not a server that answers: the frontend listens before history and matching have joined the ring.
within_two_minutes "server is healthy" temporal operator cluster health

if temporal operator namespace describe >/dev/null 2>&1; then
  temporal operator namespace update --retention "$HOLDFAST_RETENTION"
else
  temporal operator namespace create --retention "$HOLDFAST_RETENTION"
fi

# Names and types are those of contract/search-attributes.ts; test/deploy/compose.test.ts compares them.
# Each --name needs a --type of its own: the CLI drops names without one, and says that all were added.
within_two_minutes "search attributes are created" temporal operator search-attribute create \
  --name HostId --type Keyword \
  --name VmId --type Keyword \
  --name Phase --type Keyword \
  --name Outcome --type Keyword \
  --name SaveMode --type Keyword \
  --name WaitingFor --type Keyword \
  --name ForkOf --type Keyword

# Created is not yet usable: the frontend re-reads a namespace's attributes only every few seconds, and until then it refuses
# runs that name them. Workers wait for this script, so it waits for that. (Backticks: MODE is a word of the query language.)
within_two_minutes "search attributes are usable" temporal workflow count \
  --query '`HostId`="-" AND `VmId`="-" AND `Phase`="-" AND `Outcome`="-" AND `SaveMode`="-" AND `WaitingFor`="-" AND `ForkOf`="-"'
