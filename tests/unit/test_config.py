from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.config import Settings
from onlooker.errors import ConfigError


@pytest.mark.parametrize(
    "environment",
    [{}, {"ONLOOKER_BUNDLE": "", "ONLOOKER_PROVIDER": " ", "ONLOOKER_THREADS": ""}],
    ids=["unset", "empty"],
)
def test_unset_and_empty_give_the_defaults(environment: dict[str, str]) -> None:
    assert Settings.from_environment(environment) == Settings(bundle=None, provider="auto", threads=None)


def test_every_setting_is_read() -> None:
    environment = {"ONLOOKER_BUNDLE": " /b ", "ONLOOKER_PROVIDER": "cuda", "ONLOOKER_THREADS": "4", "OTHER": "x"}
    assert Settings.from_environment(environment) == Settings(bundle=Path("/b"), provider="cuda", threads=4)


def test_the_home_folder_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    assert Settings.from_environment({"ONLOOKER_BUNDLE": "~/b"}).bundle == Path("/somebody/b")


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_THREADS", "3")
    assert Settings.from_environment().threads == 3


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two", "1.5", "1e2", "٣", "9" * 5000])
def test_a_senseless_number_of_threads_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match=r"ONLOOKER_THREADS is .* set a whole number from 1 to 1024"):
        Settings.from_environment({"ONLOOKER_THREADS": value})
