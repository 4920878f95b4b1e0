"""What a person can run: one file per Prefect flow, each body a table of contents; and the command line."""
