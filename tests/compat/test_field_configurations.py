"""Configurations as they are found in the field, and their neighbours: what each must mean.

The files in ``tests/data/configurations`` follow public configuration files, with example names.
Each one is checked by ``config check``. Neighbours are generated: each option that is a path, a URL
or a number, with each mistake.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.app import load
from bandersnatch.cli.main import main
from bandersnatch.config import retired
from bandersnatch.config.schema import RemovedProjects, mirror_options
from bandersnatch.errors import ConfigError
from bandersnatch.filters.registry import BUILT_IN
from bandersnatch.model.names import project_name

FIELD = Path(__file__).parents[1] / "data" / "configurations"
ON_WINDOWS = sys.platform == "win32"


def check(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the output of ``config check``, with the log."""
    code = main(["-c", str(FIELD / name), "config", "check"])
    said = capsys.readouterr()
    return code, said.out + said.err


def problems_of(path: Path, text: str) -> list[str]:
    """Return the problems of a configuration, without the file's name; none if it is accepted."""
    path.write_bytes(text.encode())
    path.chmod(0o600)
    try:
        load(path)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


# ---------------------------------------------------------------- the files

REFUSED = {
    "01-blacklist-names-only.conf": [
        "[blacklist] packages: ", "these projects would be mirrored", "[blocklist] packages",
        "blocklist_project in [plugins] enabled",
    ],
    "02-blacklist-plugins.conf": [
        "[blacklist] plugins: ", "these filters would be lost", "[plugins] enabled",
        "latest_release, prerelease_release, exclude_platform",
        "[blacklist] platforms: ", "move it to [blocklist] platforms, with exclude_platform",
    ],
    "03-whitelist-project.conf": [
        "[blacklist] plugins: ", "[plugins] enabled, one on each line: allowlist_project",
        "[whitelist] packages: ", "the whole index would be mirrored",
        "move it to [allowlist] packages, with allowlist_project in [plugins] enabled",
    ],
    "04-blacklist-plugins-all.conf": [
        "[blacklist] packages: ", "[blocklist] packages", "blocklist_project in [plugins] enabled",
        "[blacklist] plugins: ", "[plugins] enabled, one on each line: all",
    ],
    "08-comment-behind-a-directory.conf": [
        "[mirror] directory: ", "a comment must stand on a line of its own",
    ],
    "09-comment-behind-the-master.conf": [
        "[mirror] master: ", "a comment must stand on a line of its own",
    ],
    "10-variable.conf": [
        "[mirror] directory: the environment variable MIRROR_ROOT is not set",
    ],
    "12-proxy-in-quotes.conf": ["[mirror] proxy: ", "it has quotes"],
    "14-an-option-that-never-was.conf": ["[mirror] compare-mirrors: there is no such option"],
    "15-a-filter-that-never-was.conf": [
        "[plugins] enabled: there is no filter 'filter_project'; did you mean 'allowlist_project'?",
    ],
    "16-carriage-returns-alone.conf": ["line 1 has a carriage return (CR) without a line feed"],
}  # fmt: skip
if not ON_WINDOWS:
    REFUSED["11-drive-letter.conf"] = ["[mirror] directory: ", "is a path of Windows"]

NOTED = {
    "05-old-and-new-names.conf": [
        "at most 1 can be selected",
        "Note: [whitelist] is not read any more; [allowlist] counts",
    ],
    "06-empty-blacklist.conf": [
        "Projects: all that the index has. No filter selects among them.", "Files: all.",
        "Note: [blacklist] is not read any more; use [blocklist]",
    ],
    "07-keep-what-is-gone.conf": [
        "Note: [mirror] delete-packages is read as removed-projects = keep",
    ],
    "13-pattern-in-quotes.conf": [
        "'\"^example-.*\"' in ", "line 11: the quotes or slashes are part of the pattern",
        "'/^test-/' in ", "line 12: the quotes or slashes are part of the pattern",
        "so nothing matches it",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_that_does_not_mean_what_it_says_is_refused(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIRROR_ROOT", raising=False)

    code, said = check(name, capsys)

    assert code == 2
    for text in REFUSED[name]:
        assert text in said
    assert "compare-method" not in said


@pytest.mark.parametrize("name", NOTED)
def test_a_configuration_that_can_be_used_is_accepted_with_its_notes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = check(name, capsys)

    assert code == 0
    for text in NOTED[name]:
        assert text in said


def test_every_file_is_tested() -> None:
    tested = {*REFUSED, *NOTED, *(["11-drive-letter.conf"] if ON_WINDOWS else [])}

    assert {path.name for path in FIELD.glob("*.conf")} == tested


def test_numpy_alone_is_selected_by_the_new_names() -> None:
    configuration = load(FIELD / "05-old-and-new-names.conf")

    assert configuration.filters.finite_names == frozenset([project_name("numpy")])


def test_delete_packages_means_removed_projects() -> None:
    settings = load(FIELD / "07-keep-what-is-gone.conf").settings

    assert settings.run.removed_projects is RemovedProjects.KEEP


def test_a_variable_gives_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRROR_ROOT", "/srv/disk 1")

    settings = load(FIELD / "10-variable.conf").settings

    assert settings.storage.directory == "/srv/disk 1/pypi"


# ---------------------------------------------------------------- values that hide a mistake

PATHS = {
    "directory": "/srv/mirror",
    "diff-file": "/srv/diff",
    "log-config": "/etc/log.conf",
    "ca-file": "/etc/ca.pem",
    "client-cert": "/etc/client.pem",
    "metrics-file": "/srv/metrics.prom",
}
URLS = {
    "master": "https://index.example.org",
    "proxy": "http://proxy.example.org:3128",
    "download-mirror": "https://files.example.org",
    "root_uri": "https://files.example.org",
    "index-url": "https://index.example.org/whl",
    "catalogue": "postgresql://db.example.org/mirrors",
}
NUMBERS = {
    "workers": "3",
    "download-workers": "8",
    "verifiers": "3",
    "timeout": "10",
    "global-timeout": "1800",
    "keep_index_versions": "2",
    "keep-index-versions": "2",
    "max-removals": "5",
    "max-file-removals": "200",
    "min-free-space": "50 GB",
    "reconcile-interval": "24 h",
    "sweep-interval": "30 days",
    "removal-grace": "14 days",
    "max-rate": "20 MB/s",
    "worker-timeout": "30 s",
    "worker-wait": "60 s",
    "processes": "2",
}
OTHERS = {
    "json": "true",
    "stop-on-error": "false",
    "compare-method": "hash",
    "simple-format": "ALL",
    "digest_name": "sha256",
    "api-method": "auto",
    "provenance": "link",
    "removed-projects": "keep",
    "storage-backend": "filesystem",
    "storage-filesystem-manage-permissions": "true",
    **dict.fromkeys(
        [
            "accept-unhashed", "allow-non-https", "cleanup", "cleanup_todo", "cluster",
            "core-metadata", "delete-packages",
            "delete_missing_packages", "diff-append-epoch", "download-mirror-no-fallback",
            "hash-index", "must-exist", "netrc", "release-files",
        ],
        "false",
    ),
}  # fmt: skip
TEXTS = {"client-key", "file-hosts", "ignore-rejected", "user-agent-comment"}
"""Options that are tested elsewhere: texts and lists, and one that needs another option."""
COMMENTS = [
    "{} # a comment",
    "{}  ; a comment",
    "{}\t# a comment",
    "{} // a comment",
    "{} #",
    "{};",
]
QUOTES = ['"{}"', "'{}'", '"{}', "{}'", "`{}`", "\u201c{}\u201d"]
VARIABLES = ["$MIRROR/{}", "{}/$MIRROR", "$(cat {})"]
PLACEHOLDERS = ["<{}>", "{}/<name>", "{{% if x %}}{}"]
NEIGHBOURS = [
    *[(shape, "a comment must stand on a line of its own") for shape in COMMENTS],
    *[(shape, "has quotes; write the value without them") for shape in QUOTES],
]


def mirror(option: str, value: str) -> str:
    """Return a configuration with one option."""
    others = {"directory": "/srv/mirror", "master": "https://index.example.org"}
    if option == "index-url":
        del others["master"]
    lines = [f"{name} = {text}" for name, text in {**others, option: value}.items()]
    return "\n".join(["[mirror]", *lines, ""])


@pytest.mark.parametrize(("shape", "reason"), NEIGHBOURS)
def test_a_value_with_a_comment_or_quotes_is_refused_with_that_reason(
    tmp_path: Path, shape: str, reason: str
) -> None:
    for option, value in {**PATHS, **URLS, **NUMBERS, **OTHERS}.items():
        [message] = problems_of(tmp_path / "mirror.conf", mirror(option, shape.format(value)))

        assert message.startswith(f"[mirror] {option}: ")
        assert reason in message


def test_every_option_of_the_mirror_section_is_tested() -> None:
    assert {*PATHS, *URLS, *NUMBERS, *OTHERS} | TEXTS == mirror_options()


FILTERS = {
    ("latest_release", "keep"): "3",
    ("size_project_metadata", "max_package_size"): "2 GB",
    ("versions_count_project_metadata", "min_versions"): "3",
    ("release_age", "min-age"): "7 days",
    ("release_age", "freeze-at"): "2026-10-31",
    ("release_age", "prefetch"): "true",
}


@pytest.mark.parametrize(("shape", "reason"), NEIGHBOURS)
def test_an_option_of_a_filter_with_a_comment_or_quotes_is_refused(
    tmp_path: Path, shape: str, reason: str
) -> None:
    for (section, option), value in FILTERS.items():
        text = f"{mirror('json', 'true')}[plugins]\nenabled = {section}\n[{section}]\n"
        [message] = problems_of(
            tmp_path / "mirror.conf", f"{text}{option} = {shape.format(value)}\n"
        )

        assert message.startswith(f"[{section}] {option}: ")
        assert reason in message


@pytest.mark.parametrize("shape", QUOTES)
@pytest.mark.parametrize("option", ["packages", "packages-file", "requirements"])
def test_a_name_of_a_project_or_file_in_quotes_is_refused(
    tmp_path: Path, shape: str, option: str
) -> None:
    name = "project_requirements" if option == "requirements" else "allowlist_project"
    text = f"{mirror('json', 'true')}[plugins]\nenabled = {name}\n[allowlist]\n{option} =\n    "

    [message, *_] = problems_of(tmp_path / "mirror.conf", f"{text}{shape.format('numpy')}\n")

    assert message.startswith(f"[allowlist] {option}: ")
    assert "has quotes; write the value without them" in message


@pytest.mark.parametrize("shape", VARIABLES)
@pytest.mark.parametrize("option", [*PATHS, *URLS])
def test_a_variable_of_a_shell_is_refused(tmp_path: Path, option: str, shape: str) -> None:
    value = {**PATHS, **URLS}[option]
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, shape.format(value)))

    assert message.startswith(f"[mirror] {option}: ")
    assert "write ${NAME} for an environment variable" in message


@pytest.mark.parametrize("shape", PLACEHOLDERS)
@pytest.mark.parametrize("option", [*PATHS, *URLS, *NUMBERS])
def test_a_placeholder_is_refused(tmp_path: Path, option: str, shape: str) -> None:
    value = {**PATHS, **URLS, **NUMBERS}[option]
    text = shape.format(value).replace("%", "%%")
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, text))

    assert message.startswith(f"[mirror] {option}: ")
    assert "has a placeholder; write the value that belongs there" in message


@pytest.mark.skipif(ON_WINDOWS, reason="these are paths of Windows")
@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize("value", ["C:\\pypi", "d:/pypi", "E:", "\\\\host\\pypi", "srv\\pypi"])
def test_a_path_of_windows_is_refused(tmp_path: Path, option: str, value: str) -> None:
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, value))

    assert message.startswith(f"[mirror] {option}: ")
    assert "is a path of Windows" in message or "has a backslash" in message


@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("file:///srv/pypi", "is a URL and not a path"),
        ("s3://bucket/pypi", "is a URL and not a path"),
        ("~/pypi", "begins with ~"),
        ("%%ROOT%%/pypi", "has a variable of a shell"),
        ("$root/pypi", "has a variable of a shell"),
        ("/srv/\N{ZERO WIDTH SPACE}pypi", "has the invisible character U+200B"),
        ("/srv/a\N{NO-BREAK SPACE}b", "has the invisible character U+00A0"),
    ],
)
def test_a_path_with_another_mistake_is_refused(
    tmp_path: Path, option: str, value: str, reason: str
) -> None:
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, value))

    assert message.startswith(f"[mirror] {option}: ")
    assert reason in message


@pytest.mark.parametrize(
    "value", ["/srv/my mirror", "/srv/o'brien", "/srv/a#b", "/srv/größe", "/srv/a;b", "//srv/x"]
)
def test_an_unusual_path_is_accepted(tmp_path: Path, value: str) -> None:
    assert problems_of(tmp_path / "mirror.conf", mirror("directory", value)) == []


@pytest.mark.parametrize("password", ["$ecret", "pa$$word", "a#b", "it's", "p%%40ss", "x;y"])
def test_a_password_may_have_the_characters_of_mistakes(tmp_path: Path, password: str) -> None:
    url = f"https://me:{password}@index.example.org"
    accepted = "#" not in password  # it begins the fragment of a URL

    messages = problems_of(tmp_path / "mirror.conf", mirror("master", url))

    assert (not messages) is accepted
    assert password not in "".join(messages)


@given(
    option=st.sampled_from([*PATHS, *URLS, *NUMBERS]),
    mistakes=st.lists(st.sampled_from([*COMMENTS, *QUOTES]), min_size=1, max_size=3),
)
def test_mistakes_together_are_refused(
    tmp_path_factory: pytest.TempPathFactory, option: str, mistakes: list[str]
) -> None:
    value = {**PATHS, **URLS, **NUMBERS}[option]
    for each in mistakes:
        value = each.format(value)
    path = tmp_path_factory.getbasetemp() / "mistakes.conf"

    [message] = problems_of(path, mirror(option, value))

    assert message.startswith(f"[mirror] {option}: ")


# ---------------------------------------------------------------- settings of earlier releases

SELECTING = {
    "plugins": ("whitelist_project", "allowlist_project"),
    "packages": ("one\n    two", "packages"),
    "platforms": ("windows", "platforms"),
    "requirements": ("requirements.txt", "requirements"),
    "requirements_path": ("/srv/lists", "requirements_path"),
    "packages-file": ("/srv/list", "packages-file"),
}
SELECTS_NOTHING = {"http-client": "auto", "cleanup-todo": "true"}
DESCRIBES_NOTHING = {"statistics"}


def test_every_retired_setting_is_read_refused_or_selects_nothing() -> None:
    """A new retired setting has to be added here, with its reason."""
    assert {option for _, option in retired.RETIRED_OPTIONS} == set(SELECTS_NOTHING)
    assert set(retired.RETIRED_SECTIONS) == DESCRIBES_NOTHING
    assert set(retired.REFUSED_SECTIONS) == {"swift"}
    assert set(retired.RENAMED_SECTIONS) == {"whitelist", "blacklist"}
    assert {"delete-packages", "delete_missing_packages"} <= mirror_options()


@pytest.mark.parametrize(("option", "value"), SELECTS_NOTHING.items())
def test_a_retired_option_that_selects_nothing_is_noted(
    tmp_path: Path, option: str, value: str
) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(mirror(option, value))

    configuration = load(path)
    path.write_text(mirror("json", "false"))

    assert len(configuration.settings.notes) == 1
    assert configuration.settings.run == load(path).settings.run


@pytest.mark.parametrize("section", retired.RENAMED_SECTIONS)
@pytest.mark.parametrize("option", SELECTING)
def test_a_setting_of_a_renamed_section_is_refused_until_it_is_moved(
    tmp_path: Path, section: str, option: str
) -> None:
    value, present = SELECTING[option]
    new = retired.RENAMED_SECTIONS[section]
    old = f"{mirror('json', 'true')}[{section}]\n{option} =\n    {value}\n"

    [message] = problems_of(tmp_path / "mirror.conf", old)

    assert message.startswith(f"[{section}] {option}: it is not read any more")
    assert present in message or f"[{new}] has no such option" in message
    moved = f"{old}[plugins]\nenabled =\n[{new}]\npackages = one\n"
    assert problems_of(tmp_path / "mirror.conf", moved) == []


@pytest.mark.parametrize("section", retired.RENAMED_SECTIONS)
@pytest.mark.parametrize("new_section", ["", "[allowlist]\n[blocklist]\n", "[plugins]\n"])
def test_an_empty_new_section_does_not_replace_an_old_one(
    tmp_path: Path, section: str, new_section: str
) -> None:
    text = f"{mirror('json', 'true')}[{section}]\npackages = x\nplugins = all\n{new_section}"

    assert len(problems_of(tmp_path / "mirror.conf", text)) == 2


@pytest.mark.parametrize("section", retired.RENAMED_SECTIONS)
@pytest.mark.parametrize(
    "options", ["", "packages =\n", "plugins =\n    # all\n", "packages =\n\n"]
)
def test_an_empty_old_section_is_noted(tmp_path: Path, section: str, options: str) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(f"{mirror('json', 'true')}[{section}]\n{options}")

    configuration = load(path)

    [note] = configuration.settings.notes
    assert note.startswith(f"[{section}] is not read any more")
    assert configuration.filters.finite_names is None


@pytest.mark.parametrize("text", ["true", "false"])
@pytest.mark.parametrize("other", ["delete", "keep"])
@pytest.mark.parametrize("option", ["delete-packages", "delete_missing_packages"])
def test_the_earlier_spellings_of_removed_projects_agree_or_are_refused(
    tmp_path: Path, option: str, text: str, other: str
) -> None:
    path = tmp_path / "mirror.conf"
    meant = RemovedProjects.DELETE if text == "true" else RemovedProjects.KEEP

    problems = problems_of(path, f"{mirror(option, text)}removed-projects = {other}\n")
    assert bool(problems) is (meant.value != other)
    assert problems_of(path, mirror(option, text)) == []
    assert load(path).settings.run.removed_projects is meant


def test_two_earlier_spellings_must_agree(tmp_path: Path) -> None:
    text = f"{mirror('delete-packages', 'false')}delete_missing_packages = true\n"

    assert len(problems_of(tmp_path / "mirror.conf", text)) == 1


# ---------------------------------------------------------------- hints


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("JSON", "json"), ("hash_index", "hash-index"), ("max-removal", "max-removals"),
        ("tiemout", "timeout"), ("url", "master"), ("threads", "workers"), ("path", "directory"),
        ("user-agent", "user-agent-comment"), ("downloadworkers", "download-workers"),
    ],
)  # fmt: skip
def test_the_option_that_is_meant_is_suggested(tmp_path: Path, option: str, meant: str) -> None:
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, "1"))

    assert message.endswith(f"; did you mean '{meant}'?")


@pytest.mark.parametrize("option", ["compare-mirrors", "compare-mode-x", "keep-alive", "zzz"])
def test_an_option_with_another_meaning_is_not_suggested(tmp_path: Path, option: str) -> None:
    [message] = problems_of(tmp_path / "mirror.conf", mirror(option, "1"))

    assert message == f"[mirror] {option}: there is no such option"


def test_a_typing_error_in_a_word_with_another_name_is_recognised(tmp_path: Path) -> None:
    text = f"{mirror('json', 'true')}[allowlist]\npackagse = x\n[whitelsit]\n"

    assert problems_of(tmp_path / "mirror.conf", text) == [
        "[allowlist] packagse: there is no such option; did you mean 'packages'?",
        "[whitelsit]: there is no such section",
    ]


def test_an_option_in_the_wrong_section_is_recognised(tmp_path: Path) -> None:
    [message] = problems_of(tmp_path / "mirror.conf", mirror("min-age", "3 days"))

    assert message == "[mirror] min-age: there is no such option; it is an option of [release_age]"


@pytest.mark.parametrize("name", [each for each in BUILT_IN if each.startswith(("allow", "block"))])
def test_the_earlier_name_of_a_filter_is_recognised(tmp_path: Path, name: str) -> None:
    old = name.replace("allowlist", "whitelist").replace("blocklist", "blacklist")
    text = f"{mirror('json', 'true')}[plugins]\nenabled = {old}\n"

    [message] = problems_of(tmp_path / "mirror.conf", text)

    assert message.endswith(f"; did you mean '{name}'?")


@pytest.mark.parametrize(
    ("sections", "hint"),
    [
        ("", ""),
        ("[blocklist]\npackages = x\n", "; did you mean 'blocklist_project'?"),
        (
            "[blocklist]\npackages = x\n[allowlist]\npackages = y\n",
            "; did you mean 'allowlist_project' or 'blocklist_project'?",
        ),
    ],
)
def test_an_unknown_filter_is_explained_by_the_sections(
    tmp_path: Path, sections: str, hint: str
) -> None:
    text = f"{mirror('json', 'true')}[plugins]\nenabled = filter_project\n{sections}"

    assert problems_of(tmp_path / "mirror.conf", text) == [
        f"[plugins] enabled: there is no filter 'filter_project'{hint}"
    ]


def test_a_section_that_never_was_is_explained(tmp_path: Path) -> None:
    text = f"{mirror('json', 'true')}[filter_project]\npackages = x\n"

    assert problems_of(tmp_path / "mirror.conf", text) == [
        "[filter_project]: there is no such section; did you mean 'allowlist' or 'blocklist'?"
    ]


# ---------------------------------------------------------------- line ends


@pytest.mark.parametrize(
    ("ends", "is_accepted"),
    [
        (["\n"], True), (["\r\n"], True), (["\r\r\n"], True), (["\n", "\r\n"], True),
        (["\r"], False), (["\n", "\r"], False), (["\r\n", "\r"], False),
    ],
)  # fmt: skip
def test_a_carriage_return_needs_a_line_feed(
    tmp_path: Path, ends: list[str], *, is_accepted: bool
) -> None:
    lines = mirror("json", "true").splitlines()
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines))

    problems = problems_of(tmp_path / "mirror.conf", text)

    assert (not problems) is is_accepted
    assert is_accepted or "carriage return (CR) without a line feed" in problems[0]


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize("section", ["packages", "releases"])
@pytest.mark.parametrize("pattern", ['"^x"', "'^x'", "/^x/", "/^x/i", "`x`", '"x', "x/", 'r"x"'])
def test_a_pattern_in_quotes_or_slashes_is_noted(
    tmp_path: Path, section: str, pattern: str
) -> None:
    path = tmp_path / "mirror.conf"
    name = {"packages": "regex_project", "releases": "regex_release"}[section]
    path.write_text(
        f"{mirror('json', 'true')}[plugins]\nenabled = {name}\n"
        f"[filter_regex]\n{section} =\n    {pattern}\n    ^plain-\n"
    )

    [note] = load(path).settings.notes

    assert note.startswith(f"[filter_regex] {section}: ")
    assert pattern in note.replace("\\", "")
    assert "so nothing matches it" in note


@pytest.mark.parametrize(
    ("pattern", "is_noted"),
    [('"MIT"', True), ("/usr/", True), ("/usr", False), ('Say "hi"', False), ("MIT", False)],
)
def test_a_pattern_for_metadata_is_noted_if_both_ends_have_them(
    tmp_path: Path, pattern: str, *, is_noted: bool
) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(
        f"{mirror('json', 'true')}[plugins]\nenabled = regex_project_metadata\n"
        f"[regex_project_metadata]\nany:info.license =\n    {pattern}\n"
    )

    assert bool(load(path).settings.notes) is is_noted
