"""Searches and filters in SQLite and PostgreSQL: the same query has the same result in both."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from schemas.errors import Invalid
from schemas.library.search_query import parse_query, parse_sort_order
from stores.library import tables
from stores.library.search import ModelSearch, SearchFilter, pages
from tests.conftest import FakeClock
from tests.contract.library.search.conftest import find_names, write_civitai_metadata
from tests.support.indexed_folder import BY_NAME, IndexedFolder
from tests.support.model_files import write_safetensors

TAGS = ["ink", "Style", "category", "100% cotton", "snake_case", "Ärger", "it's", 'say "hi"', "NOT", "水墨"]


@pytest.fixture
def models(library: IndexedFolder, clock: FakeClock) -> IndexedFolder:
    """Ten models that differ in every searchable field, and one whose file was deleted."""
    folder, user_edits = library.folder, library.stores.user_edits
    ink = write_safetensors(folder / "loras" / "Styles" / "a.safetensors", metadata={"ss_network_dim": "32"}, data=b"1")
    stats = {"downloadCount": 1000, "thumbsUpCount": 7}
    write_civitai_metadata(
        ink, 1, name="Ink Wash", tags=TAGS, stats=stats, creator={"username": "Ann O'Neil"}, nsfwLevel=3
    )
    cat = write_safetensors(folder / "loras" / "b.safetensors", metadata={"ss_network_dim": "8"}, data=b"22")
    write_civitai_metadata(cat, 2, name="ÉCLAIR", tags=["cat", "style"], stats={"downloadCount": 5}, nsfwLevel=4)
    write_safetensors(folder / "checkpoints" / "base_100%.safetensors", data=b"3" * 3000)
    write_safetensors(folder / "loras" / "水墨画風格.safetensors", metadata={"ss_network_dim": "64"}, data=b"4444")
    write_safetensors(folder / "loras" / "한국어 스타일.safetensors", data=b"55555")
    write_safetensors(folder / "vae" / "Straße.safetensors", data=b"666666")
    (folder / "vae" / "old.ckpt").write_bytes(b"\x80\x02}q\x00.")
    (folder / "vae" / "half.safetensors").write_bytes(b"\x10")
    write_safetensors(folder / "embeddings" / "twin.safetensors", data=b"7777777")
    write_safetensors(folder / "embeddings" / "copy.safetensors", data=b"7777777")
    deleted = write_safetensors(folder / "embeddings" / "gone.safetensors", data=b"88888888")
    library.scan()
    library.hash()
    deleted.unlink()
    library.scan()
    [model_id] = library.ids("name:base")
    user_edits.write(model_id, {"notes": "Hände sehen gut aus; use 0.8", "trainedWords": ["photo of sks", "sks dog"]})
    library.stores.images.add(model_id, None, {"nsfw_level": 1, "params": {}})
    return library


EXPECTED_MATCHES: list[tuple[str, list[str]]] = [
    ("base:sdxl", ["Ink Wash", "ÉCLAIR"]),
    ('base:"SDXL 1.0"', ["Ink Wash", "ÉCLAIR"]),
    ("base:%", []),
    ("type:lora -base:sdxl", ["水墨画風格", "한국어 스타일"]),
    ("category:vae", ["Straße", "half", "old"]),
    ("folder:styles", ["Ink Wash"]),
    ("creator:o'neil", ["Ink Wash"]),
    ("name:éclair", ["ÉCLAIR"]),
    ("name:ECL", ["ÉCLAIR"]),
    ("name:STRASSE", ["Straße"]),
    ("name:straße", ["Straße"]),
    ("name:%", ["base 100%"]),
    ("name:_", []),
    ("tag:cat", ["ÉCLAIR"]),
    ("tag:category", ["Ink Wash"]),
    ("tag:STYLE -tag:cat", ["Ink Wash"]),
    ('tag:"100% cotton"', ["Ink Wash"]),
    ("tag:snakeXcase", []),
    ("tag:arger", ["Ink Wash"]),
    ("tag:it's", ["Ink Wash"]),
    ("has:metadata", ["Ink Wash", "ÉCLAIR"]),
    ("has:civitai", ["Ink Wash", "ÉCLAIR"]),
    ("has:notes", ["base 100%"]),
    ("has:images", ["base 100%"]),
    ("has:words", ["base 100%", "Ink Wash", "ÉCLAIR"]),
    ("has:tags -has:notes", ["Ink Wash", "ÉCLAIR"]),
    ("has:problem", ["half"]),
    ("is:pickle", ["old"]),
    ("is:duplicate", ["copy"]),
    ("is:missing", ["gone"]),
    ("-is:local", ["gone"]),
    ("is:hashed is:pickle", ["old"]),
    ("dim:32", ["Ink Wash"]),
    ("dim:>=32", ["Ink Wash", "水墨画風格"]),
    ("dim:<32", ["ÉCLAIR"]),
    ("-dim:<=64 has:notes", ["base 100%"]),
    ("dim:>99999999999", []),
    ("size:>2kb", ["base 100%"]),
    ("size:>999999999999999gib", []),
    ("downloads:>=5 likes:<7", ["ÉCLAIR"]),
    ("nsfw:<=2", ["base 100%", "copy", "half", "Ink Wash", "old", "Straße", "水墨画風格", "한국어 스타일"]),
    ("nsfw:>2", ["ÉCLAIR"]),
    ("nsfw:2", ["Ink Wash"]),
    ("nsfw:>=99", []),
    # Words of names, tags, trained words, notes, creators and files.
    ("ink", ["Ink Wash"]),
    ("INK wash", ["Ink Wash"]),
    ("was", ["Ink Wash"]),
    ("ash", []),
    ('"ink wash"', ["Ink Wash"]),
    ('"wash ink"', []),
    ("cotton", ["Ink Wash"]),
    ("word10", ["Ink Wash"]),
    ("neil", ["Ink Wash"]),
    ("hande", ["base 100%"]),
    ("HÄNDE", ["base 100%"]),
    ('"gut aus"', ["base 100%"]),
    ('"of sks" dog', ["base 100%"]),
    ('"sks dog"', ["base 100%"]),
    ("eclair", ["ÉCLAIR"]),
    ("strasse", ["Straße"]),
    ("水", ["Ink Wash", "水墨画風格"]),
    ("墨画", ["水墨画風格"]),
    ("風格", ["水墨画風格"]),
    ("画墨", []),
    ("스타", ["한국어 스타일"]),
    ("-style -ink has:tags", []),
    ("copy", ["copy"]),
    ("twin", ["copy"]),
    # Operators of the databases are no operators here.
    ("NOT", ["Ink Wash"]),
    ("ink OR eclair", []),
    ("ink AND wash", []),
    ("NEAR(ink wash)", []),
    ("search_text:ink", []),
    ("ink*", ["Ink Wash"]),
    ("i* w*", ["Ink Wash"]),
    ("^ink", ["Ink Wash"]),
    ("ink + wash", ["Ink Wash"]),
    ("ink & wash | ! ( ) <-> : ' \" \\", ["Ink Wash"]),
    ("ink:*", ["Ink Wash"]),
    ("'; DROP TABLE library_models; --", []),
    ("100%", ["base 100%", "Ink Wash"]),
    # Punctuation alone matches nothing; beside words it is ignored.
    ("%", []),
    ("\U0001f600", []),
    ("_ -style", ["Straße", "base 100%", "copy", "half", "old", "水墨画風格", "한국어 스타일"]),
    ('order:size "_"', []),
    ("ink \U0001f600", ["Ink Wash"]),
]


def test_filters_and_words_find_their_models(models: IndexedFolder) -> None:
    """Case and accents are ignored, tags match whole, and operators of the databases have no meaning."""
    wrong = {}
    for text, expected in EXPECTED_MATCHES:
        values = models.names(text)
        if sorted(values) != sorted(expected):
            wrong[text] = values
    assert wrong == {}


def test_filters_of_the_original_api(models: IndexedFolder) -> None:
    """Equality ignores case; tags match any, all or none."""
    assert find_names(models, equal={"category": "lora", "base_model": "sdxl 1.0"}) == ["ÉCLAIR", "Ink Wash"]
    assert find_names(models, equal={"subcategory": "STYLES"}) == ["Ink Wash"]
    assert find_names(models, equal={"type": "vae"}) == ["half", "old", "Straße"]
    assert find_names(models, equal={"category": "LoR"}) == find_names(models, equal={"type": "%"}) == []
    assert find_names(models, tags=("CAT", "ink")) == ["ÉCLAIR", "Ink Wash"]
    assert find_names(models, tags=("style", "ink"), tags_mode="all") == ["Ink Wash"]
    assert find_names(models, tags=("style", "nobody's"), tags_mode="all") == []
    assert find_names(models, tags=("cat", "%"), tags_mode="none", equal={"base_model": "SDXL 1.0"}) == ["Ink Wash"]
    assert find_names(models, tags=("c_t", "%", "ca", "categor")) == []
    assert find_names(models, has_metadata=True) == ["ÉCLAIR", "Ink Wash"]
    assert len(find_names(models, has_metadata=False)) == 7
    assert find_names(models, equal={"category": "LoRA"}, tags=("style",), max_nsfw=2, query=parse_query("wash")) == [
        "Ink Wash"
    ]


def test_filter_values(models: IndexedFolder) -> None:
    """Each value is listed once, in one of its spellings, the most frequent first, for models on disk only."""
    values = models.stores.search.list_filter_values()
    assert values["categories"][0] == "LoRA"
    assert set(values["categories"]) == {"LoRA", "VAE", "Checkpoint", "Embedding"}
    assert values["baseModels"] == ["SDXL 1.0"]
    assert values["tags"][0].lower() == "style"
    assert {tag.lower() for tag in values["tags"]} == {tag.lower() for tag in (*TAGS, "cat")}
    for edit in ({"baseModel": "sdxl 1.0", "type": "lora"}, {"baseModel": ""}):
        models.stores.user_edits.write(models.ids("ink")[0], edit)
        assert [value.lower() for value in models.stores.search.list_filter_values()["baseModels"]] == ["sdxl 1.0"]


def test_nsfw_levels_are_compared_by_their_highest_bit(library: IndexedFolder) -> None:
    """Every mask against every level, as a parameter and as a search filter."""
    for mask in range(64):
        path = write_safetensors(library.folder / f"m{mask}.safetensors", data=bytes([mask, 1]))
        write_civitai_metadata(path, mask + 1, name=f"m{mask}", nsfwLevel=mask)
    library.scan()
    everything = find_names(library)
    assert len(everything) == 64
    for most in range(64):
        expected = [name for name in everything if int(name[1:]).bit_length() <= most.bit_length()]
        assert find_names(library, max_nsfw=most) == expected
        assert find_names(library, query=parse_query(f"nsfw:<={most}")) == expected
        assert find_names(library, query=parse_query(f"-nsfw:>{most}")) == expected
    assert library.names("nsfw:0") == library.names("nsfw:<1") == ["m0"]
    assert len(library.names("nsfw:=32")) == len(library.names("nsfw:>=32")) == 32


# Characters that every version of Unicode has, as the databases may know different ones.
WORDS = st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), min_size=1, max_size=12)


def test_any_query_is_answered(models: IndexedFolder) -> None:
    """No word is an operator of the database, and no number is too large."""
    search = models.stores.search

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(WORDS | st.sampled_from(["name:", "-", '"', "tag:", "base:", "size:>9", "nsfw:7 ", "\0"])).map("".join)
    )
    def ask(text: str) -> None:
        try:
            query = parse_query(text)
        except Invalid:
            return
        # The API's fields take no control characters.
        plain = text.replace("\0", "")
        page = search.find_page(SearchFilter({"category": plain}, query, BY_NAME, tags=(plain,)), limit=10)
        assert page.ids == []
        page = search.find_page(SearchFilter({}, query, BY_NAME), limit=10)
        assert page.total >= len(page.ids)

    ask()


def test_words_and_phrases_of_notes_are_found(models: IndexedFolder) -> None:
    """Any word is found, and any phrase that begins at a word."""
    [model_id] = models.ids("name:base")

    @settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
    @given(st.text(st.characters(codec="utf-8", max_codepoint=0x24F, categories=["L", "Nd", "Zs"]), max_size=40))
    def write(text: str) -> None:
        models.stores.user_edits.write(model_id, {"notes": f"begin {text} end"})
        for word in text.replace(":", " ").split():
            assert model_id in models.ids(f'"{word}"'), word
        if len(text) < 400:
            assert model_id in models.ids(f'"begin {text} end"')

    write()


def test_models_without_files_are_hidden(models: IndexedFolder) -> None:
    """They appear in lists and filter values only if the search asks for missing models."""
    with models.engine.begin() as connection:
        connection.execute(update(tables.models).values(files=0))
    assert find_names(models) == []
    assert all(not values for values in models.stores.search.list_filter_values().values())
    assert len(models.ids("is:missing")) == 10


QUERIES = (
    *("", "base:sdxl", "-base:sdxl", "base:nothing", "type:lora", "-type:lora", "name:100%", "name:a", "creator:neil"),
    *("wash", "-wash", "ink wash", '"wash ink"', "nothing", "?!", "ink -wash", 'tag:"it\'s"', "tag:style -tag:cat"),
    *("is:missing", "is:local", "has:tags", "-has:tags", "has:civitai", "is:pickle", "is:duplicate", "is:hashed"),
    *(
        '"ink wash"',
        '"ink was"',
        '-"ink wash"',
        '"of sks" dog',
        '"of sks d"',
        "\u6c34\u58a8",
        "wash name:ink creator:neil",
        "i w",
    ),
    *(
        "dim:>=32",
        "-dim:8",
        "dim:8",
        "ink dim:32",
        "wash dim:8",
        "dim:8 -tag:x",
        "size:<1kb",
        "downloads:>4",
        "likes:7",
        "nsfw:0",
        "nsfw:<=2",
        "nsfw:>2",
        "nsfw:<1",
    ),
    *("ink type:lora has:notes", "type:lora -wash dim:>1", "category:vae", "subcategory:styles", "has:problem"),
)
FILTERS = (
    {"equal": {"category": "LoRA"}},
    {"equal": {"category": "VAE", "type": "VAE"}},
    {"equal": {"base_model": "none such"}},
    *({"tags": ("Style", "cat"), "tags_mode": mode} for mode in ("any", "all", "none")),
    {"tags": ("STYLE",)},
    {"max_nsfw": 2},
    {"has_metadata": True},
    {"has_metadata": False, "equal": {"category": "LoRA"}},
)


def read_pages(search: ModelSearch, criteria: SearchFilter) -> list[int]:
    """Return the ids of all pages of two, and check the totals on them."""
    first = search.find_page(criteria, limit=2)
    second = search.find_page(criteria, limit=2, offset=2)
    ids, page = list(first.ids), first
    while page.next_cursor:
        page = search.find_page(criteria, limit=2, cursor=page.next_cursor)
        ids += page.ids
        assert page.total == first.total == second.total
    assert first.ids + second.ids == ids[:4]
    # The sample has all models of this library, so that estimates are exact.
    assert first.total == len(ids)
    return ids


@pytest.mark.parametrize(
    ("many", "compared"), [(1, 10_000), (10_000, 10_000), (10_000, 1)], ids=["along the order", "by values", "cheaper"]
)
def test_a_large_library_is_searched_like_a_small_one(
    models: IndexedFolder, monkeypatch: pytest.MonkeyPatch, many: int, compared: int
) -> None:
    """Whichever way the models are found, the lists, their totals and their facets are the same."""
    search = models.stores.search
    searches = [SearchFilter({}, parse_query(text), BY_NAME) for text in QUERIES]
    searches += [SearchFilter(**{"equal": {}, "query": parse_query(""), "order": BY_NAME} | each) for each in FILTERS]
    searches += [SearchFilter({}, parse_query("wash"), parse_sort_order("size"))]
    expected = [(read_pages(search, each), search.count_facets(each, 5).values) for each in searches]

    monkeypatch.setattr(pages, "MAX_COUNTED", 2)
    monkeypatch.setattr(pages, "MIN_SAMPLED", many)
    monkeypatch.setattr(pages, "MIN_COMPARED", compared)

    for criteria, (ids, facets) in zip(searches, expected, strict=True):
        assert read_pages(search, criteria) == ids, criteria
        found = search.count_facets(criteria, 5)
        # Without a sample of all models, only the first matches are looked at.
        has_sample = many == 1 and (models.engine.dialect.name == "postgresql" or not criteria.query.phrases)
        assert found.values == facets or (found.are_estimates and len(ids) > 2 and not has_sample), criteria


def test_totals_of_very_many_matches_are_estimates(models: IndexedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The total says so, and counts what the page shows; searches for all models or for one value are exact."""
    search = models.stores.search
    monkeypatch.setattr(pages, "MAX_COUNTED", 2)
    monkeypatch.setattr(pages, "SAMPLE_SIZE", 5)
    monkeypatch.setattr(pages, "MIN_SAMPLED", 1)

    page = search.find_page(SearchFilter({}, parse_query("-name:ink"), BY_NAME), limit=9)
    everything = search.find_page(SearchFilter({}, parse_query(""), BY_NAME), limit=1)
    vae = search.find_page(SearchFilter({"category": "vae"}, parse_query(""), BY_NAME), limit=1)

    assert page.total_is_estimate
    assert page.total >= len(page.ids) == 8
    assert (everything.total, everything.total_is_estimate) == (9, False)
    assert (vae.total, vae.total_is_estimate) == (3, False)
