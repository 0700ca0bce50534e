"""The grammar of `--target`: what texts mean, what they are called in files' names, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.options.targets import (
    FUNCTIONS,
    HEADS,
    Difference,
    Each,
    Element,
    Head,
    Name,
    Range,
    Reduction,
    TargetSpec,
    Unread,
    each_of,
    same_label,
)

NAMES = (
    "H3K4me3",
    "H3K4me3-2",
    "CAGE:K562",
    "8-cell embryo",
    "DNase (K562), rep 1",
    "mean",
    "3",
    "3-1",
    'a"b',
)


def one(text: str, names: tuple[str, ...] | None = None) -> TargetSpec:
    (target,) = parse_targets(text, names)
    return target


MEANINGS = {
    "3": (Element((3,)), "3", 3),
    " 3 ": (Element((3,)), "3", 3),
    "(3,)": (Element((3,)), "3", 3),
    "( 3 , 1 )": (Element((3, 1)), "3-1", (3, 1)),
    "all": (Element((Each(),)), "all", "all"),
    "(25,all)": (Element((25, Each())), "25-all", "(25,all)"),
    "mean": (Reduction("mean"), "mean", "mean"),
    "max(0:3)": (Reduction("max", (Range(0, 3),)), "max_0..3", "max(0:3)"),
    "mean(:,1)": (Reduction("mean", (Range(), 1)), "mean_all-1", "mean(:,1)"),
    "mean((:,1))": (Reduction("mean", (Range(), 1)), "mean_all-1", "mean(:,1)"),
    "sum( 0:100 , all )": (Reduction("sum", (Range(0, 100), Each())), "sum_0..100-all", "sum(0:100,all)"),
    "3-1": (Difference(Element((3,)), Element((1,))), "3_minus_1", "3-1"),
    "(3,1) - (3,2)": (Difference(Element((3, 1)), Element((3, 2))), "3-1_minus_3-2", "(3,1)-(3,2)"),
    "mean(0:2)-5": (
        Difference(Reduction("mean", (Range(0, 2),)), Element((5,))), "mean_0..2_minus_5", "mean(0:2)-5"),
    '"H3K4me3-2"': (Element((Name("H3K4me3-2"),)), "H3K4me3_2", '"H3K4me3-2"'),
    '"3"': (Element((Name("3"),)), "3", '"3"'),
    '(5,"a ""b""")': (Element((5, Name('a "b"'))), "5-a__b_", '(5,"a ""b""")'),
    "counts": (Head("counts"), "counts", "counts"),
    "profile": (Head("profile"), "profile", "profile"),
    "profile-per-track": (Head("profile-per-track"), "profile-per-track", "profile-per-track"),
    "profile-fixed-weights": (
        Head("profile-fixed-weights"), "profile-fixed-weights", "profile-fixed-weights"),
}  # fmt: skip


@pytest.mark.parametrize("text", MEANINGS)
def test_what_a_text_means(text: str) -> None:
    target = one(text)
    assert (target, target.label, target.stored) == MEANINGS[text]
    assert one(text, NAMES) == target, "known names change nothing about what the grammar itself reads"


def test_several_are_separated_by_commas_outside_brackets() -> None:
    found = parse_targets("0,(50,1) , mean(:,1),3-1,counts")
    assert [str(target) for target in found] == ["0", "(50,1)", "mean(:,1)", "3-1", "counts"]


NAMED = {
    "H3K4me3": Element((Name("H3K4me3"),)),
    "H3K4me3-2": Element((Name("H3K4me3-2"),)),  # the longest known name
    "H3K4me3-3": Difference(Element((Name("H3K4me3"),)), Element((3,))),
    "H3K4me3 - H3K4me3-2": Difference(Element((Name("H3K4me3"),)), Element((Name("H3K4me3-2"),))),
    '"H3K4me3"-2': Difference(Element((Name("H3K4me3"),)), Element((2,))),
    "CAGE:K562": Element((Name("CAGE:K562"),)),
    "(7,CAGE:K562)": Element((7, Name("CAGE:K562"))),
    "mean(:,8-cell embryo)": Reduction("mean", (Range(), Name("8-cell embryo"))),
    "DNase (K562), rep 1-8-cell embryo": Difference(
        Element((Name("DNase (K562), rep 1"),)), Element((Name("8-cell embryo"),))
    ),
    'a"b': Element((Name('a"b'),)),
    # Digits and words of the grammar are no names.
    "mean": Reduction("mean"),
    "3": Element((3,)),
    "3-1": Difference(Element((3,)), Element((1,))),
}


@pytest.mark.parametrize("text", NAMED)
def test_names_that_are_known(text: str) -> None:
    target = one(text, NAMES)
    assert target == NAMED[text]
    assert one(str(target), ()) == target, "the canonical text needs no known names"


@pytest.mark.parametrize(
    "text", ["H3K4me3", "a-b", "mean(:,K562)", "8-cell embryo", "CAGE:K562 (1), 2", "nan"]
)
def test_texts_with_unquoted_names_wait_for_the_model(text: str) -> None:
    assert parse_targets(text) == (Unread(text),)
    with pytest.raises(ValueError, match="is no known name"):
        parse_targets(text, ())


REFUSED = {
    "": "does not name a target",
    "  ": "does not name a target",
    "-1": "counted from 0",
    "(0,": "a bracket is not closed",
    "(0 1)": "a comma or \\) is missing before '1\\)'",
    "()": "nothing between the brackets",
    "1,": "an index or a name is missing at the end",
    "1,,2": "missing before ',2'",
    "3 4": "'4' is left over",
    "0:5": r"a range needs a function: mean\(0:5\), sum\(0:5\) or max\(0:5\), perhaps",
    "(0:5,1)": r"mean\(0:5,1\), sum\(0:5,1\) or max\(0:5,1\), perhaps",
    ":": r"mean\(:\)",
    "mean(5:)": r"write 5:END, or : for the whole axis",
    "mean(:5)": r"write 0:5",
    "mean(5:5)": r"the range 5:5 is empty",
    "mean(mean)": "mean cannot stand for one axis",
    "(all,all)": "all can stand for one axis only",
    "all-1": "all does not go with a difference",
    "3-3": "3 less itself is 0 everywhere",
    "3-2-1": "a difference has two terms",
    "counts-profile": "counts is a head, which has no differences",
    "1,(1,)": "names a target twice",
    "mean(3": "is missing at the end",
    "9" * 5000: "5,000 digits",
    '"a': "is no known name",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_and_what_was_perhaps_meant(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]) as problem:
        parse_targets(text, () if '"' in text else None)
    assert len(str(problem.value)) < 300


def test_an_unknown_name_is_answered_with_those_like_it() -> None:
    with pytest.raises(ValueError, match=r"'H3K4me' is no known name \(perhaps H3K4me3 or H3K4me3-2"):
        parse_targets("H3K4me", NAMES)
    with pytest.raises(ValueError, match=r"'men' is no known name \(perhaps mean"):
        parse_targets("men(0:3)", NAMES)
    with pytest.raises(ValueError, match=r"--labels FILE does"):
        parse_targets("H3K4me", ())


def test_a_long_list_is_read_in_no_time() -> None:
    assert len(parse_targets(",".join(map(str, range(20_000))))) == 20_000


def test_all_stands_for_each_index() -> None:
    assert each_of(Reduction("mean", (Range(), Each())), 2) == [
        Reduction("mean", (Range(), 0)), Reduction("mean", (Range(), 1)),
    ]  # fmt: skip


def test_targets_of_one_name_are_found() -> None:
    assert same_label(parse_targets('"a b","a.c","a b c"')) is None
    assert same_label(parse_targets('3,"a b","a.b"')) == (one('"a b"'), one('"a.b"'))


# ---- what holds for all texts

_places = st.one_of(
    st.integers(0, 10**6),
    st.text(max_size=8).map(Name),
    st.tuples(st.integers(0, 99), st.integers(1, 99)).map(lambda pair: Range(pair[0], sum(pair))),
    st.just(Range()),
)
_no_ranges = _places.filter(lambda place: not isinstance(place, Range))


def _tuples(place: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(place, min_size=1, max_size=4).map(tuple)


_terms = st.one_of(
    _tuples(_no_ranges).map(Element),
    st.builds(Reduction, st.sampled_from(FUNCTIONS), _tuples(_places)),
    st.sampled_from(FUNCTIONS).map(Reduction),
)
_differences = st.builds(Difference, _terms, _terms).filter(lambda found: found.first != found.second)
_specs = st.one_of(
    _terms,
    _differences,
    st.sampled_from(HEADS).map(Head),
    st.integers(0, 9).map(lambda index: Element((index, Each()))),
    st.just(Element((Each(),))),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_specs, min_size=1, max_size=4, unique=True))
def test_what_is_written_is_read(specs: list[TargetSpec]) -> None:
    assert list(parse_targets(",".join(map(str, specs)), NAMES)) == specs


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*"0123456789(),:-\" '", "mean", "sum(", "all", "counts", "profile-per-track", *NAMES]
        ),
        max_size=10,
    ).map("".join)
    | st.text(max_size=12)
)
def test_any_text_is_read_or_refused_and_the_canonical_text_means_the_same(text: str) -> None:
    for names in (None, (), NAMES):
        try:
            found = parse_targets(text, names)
        except ValueError as error:
            assert len(str(error)) < 500  # noqa: PT017
            continue
        if not any(isinstance(target, Unread) for target in found):
            assert parse_targets(",".join(map(str, found)), ()) == found
