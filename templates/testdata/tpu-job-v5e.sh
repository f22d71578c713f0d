#!/bin/bash
# Run 2026_11_23_10_30 of vtune. A machine of Cloud TPU begins each of its jobs with this: job AGENT ASSIGNMENT.
source /opt/vllm/bin/activate
exec "$1" agent "$2"
