"""R1's pipeline at five million parameters: problems, traces, stages, export."""
