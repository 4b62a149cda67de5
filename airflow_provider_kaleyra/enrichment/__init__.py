"""The pipeline: numbers in, outcomes filed. Nothing here knows HTTP."""
