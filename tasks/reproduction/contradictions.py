"""Whether the records of a version agree with each other.

Each fact stands in several places: in files of the run, in its parameters and tags, in the version's tags and in the
bundle. A later edit of one place contradicts the others, and both are named.
"""

from collections.abc import Iterator, Mapping

from tasks.registry.lineage import (
    COMMIT_TAG,
    DIRTY_TAG,
    DVC_TEXT,
    FACTS,
    HARDWARE_TAG,
    INPUTS,
    LINEAGE_TAG,
    LOCK_TAG,
    SPEC,
    SUMS,
    VERSION_TAG,
    parse_sums,
    sha256,
)
from tasks.registry.origin import Origin
from tasks.registry.record import DATA_DIGEST_TAG, RUN_TAG
from tasks.reproduction.records import Records, read_object
from tasks.steps.key import as_part

SEED_TAG = "evergreen.seed"
DVC_TAG = "evergreen.dvc_md5"
WEIGHTS_TAG = "evergreen.weights_sha256"

Witnesses = dict[str, dict[str, str]]  # fact -> where it stands -> what stands there


def find_contradictions(origin: Origin, records: Records) -> tuple[str, ...]:
    """Return a sentence for each fact that does not stand the same everywhere."""
    witnesses = {
        **setting_witnesses(origin, records),
        **content_witnesses(origin, records),
        **machine_witnesses(origin, records),
    }
    return tuple(describe_contradictions(witnesses))


def find_altered_files(origin: Origin) -> tuple[str, ...]:
    """Return a sentence for each file of the run's lineage that is not the one that was kept when the run ended."""
    sums = origin.files.get(SUMS)
    if sums is None:
        return (f"{SUMS} is gone from the run's lineage",)
    named = parse_sums(sums)
    places = {"its content": sha256(sums), "the run's tag": origin.tags.get(LINEAGE_TAG, "")}
    places["the version's tag"] = origin.version.tags.get(LINEAGE_TAG, "")
    found = list(describe_contradictions({f"the SHA-256 of {SUMS}": places}))
    for name, expected in sorted(named.items()):
        content = origin.files.get(name)
        if content is None:
            found.append(f"{name} is gone: {SUMS} names it")
        elif sha256(content) != expected:
            found.append(f"{name} was changed: its SHA-256 is {sha256(content)}, {SUMS} says {expected}")
    found += [f"{name} was added: {SUMS} does not name it" for name in sorted(origin.files) if name not in
              {*named, SUMS, DVC_TEXT}]  # fmt: skip
    return tuple(found)


def describe_contradictions(witnesses: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield for each fact with two values: "training.epochs is 9 in spec.json, but 8 in inputs.json"."""
    for fact, places in witnesses.items():
        by_value: dict[str, list[str]] = {}
        for place, value in places.items():
            by_value.setdefault(value, []).append(place)
        if len(by_value) > 1:
            said = [f"{value or 'missing'} in {' and '.join(where)}" for value, where in by_value.items()]
            yield f"{fact} is {', but '.join(said)}"


def setting_witnesses(origin: Origin, records: Records) -> Witnesses:
    """Return the training's settings, from the spec, the step key, the run's parameters and the bundle."""
    spec, recipe = records.spec, records.spec["recipe"]
    values = {f"training.{name}": value for name, value in recipe.items() if name != "weights_file"}
    values |= {name: spec[name] for name in ("seed", "threads", "classes", "channels", "size_px")}
    found: Witnesses = {}
    for name, value in values.items():
        found[name] = {SPEC: as_part(value)}
        if name in records.inputs:
            found[name][INPUTS] = records.inputs[name]
        logged = origin.params.get(name.removeprefix("training."))
        if logged is not None:
            found[name]["the run's parameters"] = as_part(value) if logged == str(value) else logged
    if SEED_TAG in origin.tags:
        found["seed"]["the run's tags"] = origin.tags[SEED_TAG]
    if origin.bundle is not None:
        for name in ("classes", "channels", "size_px"):
            found[name]["the bundle's contract"] = as_part(getattr(origin.bundle.contract, name))
    return found


def content_witnesses(origin: Origin, records: Records) -> Witnesses:
    """Return the names of data, code, lock and weights, wherever they stand."""
    tags, source = origin.tags, origin.dataset
    facts = read_object(origin.files, FACTS)
    found: Witnesses = {
        "the data's digest": {
            SPEC: str(records.spec["data_digest"]),
            INPUTS: records.inputs.get("data", ""),
            DVC_TEXT: records.data_digest,
            "the run's tags": tags.get(DATA_DIGEST_TAG, ""),
            "the version's tags": origin.version.tags.get(DATA_DIGEST_TAG, ""),
        },
        "the data's md5": {DVC_TEXT: records.dvc_md5, "the run's tags": tags.get(DVC_TAG, "")},
        "the commit": {FACTS: records.commit, "the run's tags": tags.get(COMMIT_TAG, "")},
        "whether the code had uncommitted changes": {
            "the run's files": str(bool(records.patch or records.unkept_changes)).lower(),
            "the run's tags": tags.get(DIRTY_TAG, ""),
        },
        "the lock's SHA-256": {
            records.lock_name: sha256(records.lock),
            FACTS: str(facts.get("lock_sha256", "")),
            INPUTS: records.inputs.get("lock", ""),
            "the run's tags": tags.get(LOCK_TAG, ""),
        },
        "the run": {"the version": origin.version.run_id, "its tags": origin.version.tags.get(RUN_TAG, "")},
    }
    if source:
        found["the data's digest"]["the run's dataset"] = str(source.get("digest", ""))
        found["the data's md5"]["the run's dataset"] = str(source.get("md5", ""))
    if origin.bundle is not None:
        found["the data's digest"]["the bundle's contract"] = origin.bundle.contract.data_digest
        found["the weights' SHA-256"] = {
            "the bundle's contract": origin.bundle.contract.weights_sha256,
            "the run's tags": tags.get(WEIGHTS_TAG, ""),
        }
    return found


def machine_witnesses(origin: Origin, records: Records) -> Witnesses:
    """Return hardware and versions, from lineage.json, the step key and the run's tags."""
    found: Witnesses = {}
    for kind, values, prefix in (
        ("hardware", records.hardware, HARDWARE_TAG),
        ("version", records.versions, VERSION_TAG),
    ):
        recorded = {name.removeprefix(prefix): value for name, value in origin.tags.items() if name.startswith(prefix)}
        for name in dict.fromkeys([*values, *recorded]):
            places = {FACTS: values.get(name, ""), "the run's tags": recorded.get(name, "")}
            part = f"{kind}.{name}"
            found[part] = {**places, **({INPUTS: records.inputs[part]} if part in records.inputs else {})}
    return found
