"""The app that a tutorial writes: a model at import, a route that calls it.

Source: https://docs.pytorch.org/tutorials/intermediate/flask_rest_api_tutorial.html, with FastAPI for Flask.
"""

from fastapi import FastAPI, Request

from benchmarks.served.peers.prepared import Prepared, describe, to_image

app = FastAPI()
prepared = Prepared()


@app.post("/predict")
async def predict(request: Request) -> dict[str, float]:
    """Answer one image of raw bytes."""
    image = to_image(await request.body())
    return describe(prepared.predict(image[None])[0])
