"""The metrics as Prometheus's own Python library reads them, in both forms."""

import http.client
import math

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from support.engine import DEADLINE_SECONDS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scrape(engine, accept):
    connection = http.client.HTTPConnection(engine.admin_host, engine.admin_port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", "/metrics", headers={"Accept": accept})
        response = connection.getresponse()
        assert response.status == 200
        return response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def read(engine, form):
    if form == "openmetrics":
        kind, text = scrape(engine, OPENMETRICS)
        assert kind.startswith("application/openmetrics-text")
        # Refuses what the specification forbids, such as buckets that fall or a counter without its suffix.
        return list(openmetrics_parser.text_string_to_metric_families(text))
    kind, text = scrape(engine, "text/plain")
    assert kind.startswith("text/plain")
    return list(parser.text_string_to_metric_families(text))


@pytest.mark.parametrize("form", ["openmetrics", "text"])
def test_every_metric_is_read_with_its_type_and_help(engine, join, form):
    client = join(engine, "/raw/metrics?self=1")
    client.send("x")
    assert client.recv(timeout=DEADLINE_SECONDS) == "x"
    families = read(engine, form)
    assert len(families) > 30
    names = [family.name for family in families]
    assert len(set(names)) == len(names), "a metric is there twice"
    for family in families:
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.documentation.endswith("."), family
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(set(series)) == len(series), f"{family.name} has a series twice"
        assert all(math.isfinite(sample.value) for sample in family.samples), family


@pytest.mark.parametrize("form", ["openmetrics", "text"])
def test_the_delivery_lag_is_a_histogram_whose_buckets_rise_to_its_count(engine, form):
    (lag,) = [family for family in read(engine, form) if family.name == "ringmain_delivery_lag_seconds"]
    assert lag.type == "histogram"
    shards = {sample.labels["shard"] for sample in lag.samples}
    for shard in shards:
        of_shard = [sample for sample in lag.samples if sample.labels["shard"] == shard]
        buckets = [sample for sample in of_shard if sample.name.endswith("_bucket")]
        (count,) = [sample.value for sample in of_shard if sample.name.endswith("_count")]
        bounds = [float(bucket.labels["le"]) for bucket in buckets]
        values = [bucket.value for bucket in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == math.inf
        assert values == sorted(values) and values[-1] == count
