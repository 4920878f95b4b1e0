"""The bundle: one artifact from training to container. A leaf that every stage may import.

A folder with:
    contract.json       what the model is, and the SHA-256 of every file
    model.pt            TorchScript: preprocess(image), then forward(batch)
    golden/             inputs (raw, PNG, JPEG) with the answers of the eager fp32 model
    reference.parquet   validation predictions that drift compares with; not served
"""
