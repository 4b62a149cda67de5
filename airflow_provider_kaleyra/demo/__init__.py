"""The README's first command: the main job, on made-up contacts."""
