# read_metrics.py prometheus|openmetrics - reads metrics from standard input as
# Prometheus' own client library does, which is strict, and prints them as JSON:
# [[family, type, help, [[sample, {label: value}, number], ...]], ...].
import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

PARSERS = {"prometheus": parser, "openmetrics": openmetrics_parser}
text = sys.stdin.read()
families = PARSERS[sys.argv[1]].text_string_to_metric_families(text)
json.dump([[family.name, family.type, family.documentation,
            [[sample.name, sample.labels, sample.value]
             for sample in family.samples]] for family in families], sys.stdout)
