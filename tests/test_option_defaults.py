"""Which options of a recorded run are at their defaults."""

from __future__ import annotations

from avbench.option_defaults import changed_options, default_options


def test_defaults_are_those_of_the_signature_and_of_the_backbone(make_record) -> None:
    tiny, base = (make_record("avcl", settings={"backbone": backbone}) for backbone in ("tiny", "base"))
    assert (default_options(tiny, "strategy")["capacity"], default_options(tiny, "strategy")["chunk"]) == (
        200,
        1,
    )
    assert (default_options(base, "strategy")["capacity"], default_options(base, "strategy")["chunk"]) == (
        2000,
        4,
    )


def test_what_is_not_at_its_default_is_told(make_record) -> None:
    options = {"capacity": 200, "penalty": 0.5, "selection": "lpis"}
    assert changed_options(make_record("avcl", options=options)) == {"selection": "lpis"}
    assert changed_options(make_record("avcl", options=options, settings={"backbone": "base"})) == {
        "capacity": 200,
        "selection": "lpis",
    }


def test_of_code_that_is_not_avbenchs_no_default_is_known(make_record) -> None:
    record = make_record("avcl", options={"capacity": 200}, plugin_code={"strategy": "mine.py 0123"})
    assert changed_options(record) == {"capacity": 200}
