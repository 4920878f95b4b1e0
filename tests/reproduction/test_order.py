import json

import pytest

from tasks.errors import ConfigError
from tasks.reproduction.order import Order, read_order

ORDER = Order(
    spec="spec.json",
    weights_file="",
    device="cpu",
    lock="cpu.lock",
    dvc_md5="0.dir",
    data_digest="d",
    data_remote="s3://bucket",
    data_root="/project",
    module="model.pt",
    tolerance=0.0005,
)


def test_an_order_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "order.json"
    path.write_text(ORDER.to_json())
    assert read_order(path) == ORDER


def test_code_of_an_older_commit_leaves_out_what_it_does_not_know(tmp_path):
    path = tmp_path / "order.json"
    path.write_text(json.dumps({**json.loads(ORDER.to_json()), "of_a_later_commit": 1}))
    assert read_order(path) == ORDER


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"], ids=["missing", "no JSON", "no object", "no fields"])
def test_what_is_no_order_is_an_error(tmp_path, text):
    path = tmp_path / "order.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"order.json is no order: .*`evergreen reproduce VERSION` writes one"):
        read_order(path)
