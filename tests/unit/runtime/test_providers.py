from __future__ import annotations

import pytest

from onlooker.errors import ProviderError
from onlooker.runtime.providers import NAMES, Choice, available, choose, short_name

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def test_this_machine_has_at_least_the_cpu_and_no_web_service() -> None:
    assert CPU in available()
    assert "AzureExecutionProvider" not in available()


@pytest.mark.parametrize(
    ("there", "choice"),
    [
        ([CPU], Choice(CPU)),
        ([CUDA, CPU], Choice(CUDA, (CPU,))),
        ([TENSORRT, CUDA, CPU], Choice(CUDA, (CPU,))),
        ([TENSORRT, CPU], Choice(CPU)),
        ([], Choice(CPU)),
    ],
)
@pytest.mark.parametrize("word", ["auto", "AUTO"])
def test_auto_takes_the_best_there_is_and_keeps_a_way_back(there: list[str], choice: Choice, word: str) -> None:
    assert choose(word, there=there) == choice


@pytest.mark.parametrize("name", ["tensorrt", "TensorRT", TENSORRT, TENSORRT.lower()])
def test_a_named_one_is_taken_without_a_way_back(name: str) -> None:
    assert choose(name, there=[TENSORRT, CUDA, CPU]) == Choice(TENSORRT)


def test_one_that_this_build_has_and_we_do_not_know_works_by_its_name() -> None:
    assert choose("NewExecutionProvider", there=["NewExecutionProvider", CPU]) == Choice("NewExecutionProvider")
    assert short_name("NewExecutionProvider") == "NewExecutionProvider"


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(ProviderError, match=r"'gpu' is not known; choose auto or one of: cuda, cpu"):
        choose("gpu", there=[CUDA, CPU])


def test_a_known_one_that_is_not_in_this_build_says_so() -> None:
    with pytest.raises(ProviderError, match=r"'cuda' is not in this build of ONNX Runtime; .* one of: cpu"):
        choose("cuda", there=[CPU])


def test_short_names_go_both_ways() -> None:
    assert all(short_name(full) == short for short, full in NAMES.items())
