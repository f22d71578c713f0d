#!/bin/bash
# Run 2026_11_23_10_30 of vtune.

exec /scratch/auto-benchmark/2026_11_23_10_30/bin/vtune agent /scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/assignment.json
