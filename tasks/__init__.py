"""The work: verbs are thin Prefect tasks, nouns (the folders) are plain Python that knows no Prefect."""
