"""Evaluation: a trained model becomes a bundle, is scored on the test set, and is judged by gates.

    finish.py      trained model -> bundle (bundle.py): temperature.py, golden answers, reference.py, contract
    scores.py      a module's probabilities for every image of a split, with the images' names
    metrics.py     scores -> accuracy, log-loss, calibration, recall and confusion by scikit-learn
    compare.py     scores -> intervals: the evidence
    gates.py       evidence and limits -> verdicts; pure
    judge.py       two sets of scores -> the report of all gates
    report.py      the report as Markdown and JSON
    pictures.py    learning curves, confusion matrix, worst-classified images

It may import `tasks.data`, `tasks.training`, `serving.bundle` and `serving.records`; it knows no MLflow and no Prefect.
"""
