"""What a worker is started with is what its supervisor had."""

from pathlib import Path

from serving.settings import ServerSettings, parse_settings
from serving.share import Share, settings_environment


def test_a_share_survives_its_way():
    share = Share(board=3, workers=4, number=2, listeners=(7, 9))
    assert Share.from_json(share.to_json()) == share


def test_settings_survive_the_environment():
    settings = ServerSettings(
        bundle=Path("/some where/bundle"), model_name="fashion", model_version="12", port=0, admin_port=9000,
        workers=3, threads=2, timeout_s=0.25, drain_s=0, idle_s=float("inf"), token="hush", record_folder="",
        record_images=True, log_level="debug",
    )  # fmt: skip
    assert parse_settings([], settings_environment(settings)) == settings
