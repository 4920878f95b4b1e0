import hashlib
import subprocess
import sys

import pytest

from serving.sampling import is_recorded

IDS = [f"request-{number}" for number in range(20_000)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_of_the_requests_is_recorded(share):
    count = sum(is_recorded(name, share) for name in IDS)
    assert count == pytest.approx(share * len(IDS), abs=4 * (len(IDS) * share * (1 - share)) ** 0.5)


def test_none_and_all():
    assert not any(is_recorded(name, 0.0) for name in IDS)
    assert all(is_recorded(name, 1.0) for name in IDS)


def test_what_a_share_records_a_larger_one_records_too():
    few, many = ({name for name in IDS if is_recorded(name, share)} for share in (0.1, 0.3))
    assert few < many


def test_it_is_the_fraction_that_the_first_bytes_of_sha256_are():
    fraction = int.from_bytes(hashlib.sha256(b"a").digest()[:8], "big") / 2**64
    assert 0.79 < fraction < 0.80  # "a" has ca97..., so this is what every version and every language must see
    assert is_recorded("a", fraction + 1e-9)
    assert not is_recorded("a", fraction - 1e-9)


def test_another_process_chooses_the_same_requests():
    code = "import sys; from serving.sampling import is_recorded\n"
    code += "print(*[int(is_recorded(f'request-{n}', 0.25)) for n in range(1000)])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(int(is_recorded(name, 0.25))) for name in IDS[:1000]]


def test_an_id_that_is_no_proper_text_is_an_id_too():
    assert is_recorded("\ud800", 1.0)
    assert is_recorded("\ud800", 0.999999) in (True, False)
