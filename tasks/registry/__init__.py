"""The registry stage: MLflow's runs and registered model, the stages, and the ledger of every transition.

MLflow reports its usage to its makers unless told not to before it is first imported, which is why this stands here.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
