"""The log: the format of a line, what is hidden in it, events, and ``log-config``."""

from __future__ import annotations

import inspect
import logging
import re
from argparse import Namespace
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.log import (
    FORMAT,
    EventLog,
    SafeFormatter,
    set_up,
    use_file,
)
from bandersnatch.cli.text import one_line, without_credentials
from bandersnatch.errors import (
    ChangedFile,
    ConfigError,
    MissingProject,
    RefusedRequest,
    StalePage,
    StorageError,
    UnmirroredProject,
    UnusableIndex,
)
from bandersnatch.events import (
    CoreMetadataMissing,
    Event,
    FileDownloaded,
    FileQueued,
    FileRemoved,
    FileRestored,
    FilesIgnored,
    FilesRejected,
    Halted,
    PageRemoved,
    PageWritten,
    PhaseStarted,
    ProjectAbsent,
    ProjectBlocked,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    RunPhase,
    RunPlanned,
    StepStarted,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection
from bandersnatch.model.serials import Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOO = project_name("foo")
KEY = StorageKey("web/packages/foo-1.0.tar.gz")
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+): (?P<message>.*) "
    r"\((?P<file>[a-z_]+\.py):(?P<line>\d+)\)"
)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore the loggers that a log-config changes."""
    loggers = [logging.getLogger(), logging.getLogger("bandersnatch")]
    before = [(log, log.handlers[:], log.filters[:], log.level, log.propagate) for log in loggers]
    yield
    for log, handlers, filters, level, propagate in before:
        log.handlers, log.filters, log.propagate = handlers, filters, propagate
        log.setLevel(level)


def flags(*, debug: bool = False, quiet: bool = False, config: str = "mirror.conf") -> Namespace:
    """Return the arguments that the log uses."""
    return Namespace(debug=debug, quiet=quiet, config=config)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return a function that returns the new lines on standard error."""

    def logged() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return logged


# ---------------------------------------------------------------- the form of a line


def test_a_line_has_time_level_message_and_source_in_this_order(
    logged: Callable[[], list[str]],
) -> None:
    logger = set_up(flags())
    logger.warning("the %s is %d", "answer", 42)

    [line] = logged()
    match = LINE.fullmatch(line)
    assert match is not None
    assert match["level"] == "WARNING"
    assert match["message"] == "the answer is 42"
    assert match["file"] == "test_logs.py"


@pytest.mark.parametrize(
    ("arguments", "levels"),
    [
        (flags(), ["INFO", "WARNING", "ERROR"]),
        (flags(debug=True), ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (flags(quiet=True), ["ERROR"]),
        (flags(quiet=True, debug=True), ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_the_flags_set_the_level(
    logged: Callable[[], list[str]], arguments: Namespace, levels: list[str]
) -> None:
    logger = set_up(arguments)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "said")

    assert [line.split()[2] for line in logged()] == [f"{level}:" for level in levels]


def test_setting_up_twice_logs_once(logged: Callable[[], list[str]]) -> None:
    set_up(flags())
    set_up(flags()).info("said")

    assert len(logged()) == 1


# ---------------------------------------------------------------- what is kept out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@example.org/a failed", "https://***@example.org/a failed"),
        ("https://token@example.org", "https://***@example.org"),
        ("socks5://user:se@cr:et@127.0.0.1:1", "socks5://***@127.0.0.1:1"),
        ("http://a:b@x.example.org and http://c:d@y.example.org", None),
        (
            "https://example.org/a@b and me@example.org",
            "https://example.org/a@b and me@example.org",
        ),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, shown: str | None) -> None:
    expected = shown or "http://***@x.example.org and http://***@y.example.org"

    assert without_credentials(text) == expected
    assert one_line(text) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\x9b"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb\u2066c", "a\\u200bb\\u2066c"),
        ("caf\udce9", "caf\\udce9"),
        ("tab\tand größe", "tab\tand größe"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_record_is_one_line(logged: Callable[[], list[str]]) -> None:
    set_up(flags()).error("one\n2026-01-01 00:00:00,000 INFO: forged (run.py:1)\x1b[A")

    [line] = logged()
    assert "one\\n2026-01-01" in line
    assert "\x1b" not in line


def test_a_traceback_keeps_its_lines_and_loses_its_credentials(
    logged: Callable[[], list[str]],
) -> None:
    logger = set_up(flags())
    try:
        int("https://user:secret@example.org\x1b[2J")
    except ValueError:
        logger.exception("a bug")

    lines = logged()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1].startswith("ValueError: ")
    assert "https://***@example.org" in lines[-1]


def test_the_formatter_is_safe_by_itself() -> None:
    record = logging.LogRecord("x", 20, "a.py", 7, "http://u:p@example.org\n%s", ("\x1b",), None)

    text = SafeFormatter(FORMAT).format(record)

    assert text.endswith(" INFO: http://***@example.org\\n\\x1b (a.py:7)")


# ---------------------------------------------------------------- events


def logged_for(*events: Event, debug: bool = True) -> list[tuple[str, str]]:
    """Return level and message of each line that is logged for events."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("bandersnatch")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    sink = EventLog(logger)
    for event in events:
        sink(event)
    lines = [line.partition(" ") for line in stream.getvalue().splitlines()]
    return [(level, message) for level, _, message in lines]


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (StepStarted("reading"), "INFO", "reading"),
        (PhaseStarted(RunPhase.SYNC), "DEBUG", "phase: sync"),
        (Warned("something"), "WARNING", "something"),
        (Halted(UnusableIndex("no answer")), "ERROR", "no answer"),
        (RunPlanned(3, 1), "INFO", "3 project(s) to process, 1 to remove"),
        (ProjectSynced(FOO, Serial(7)), "INFO", "synced foo at serial 7"),
        (ProjectRemoved(FOO), "INFO", "removed foo"),
        (ProjectRestored(FOO), "INFO", "restored foo"),
        (ProjectAbsent(FOO), "WARNING", "foo is not on the index"),
        (
            ProjectFailed(FOO, RefusedRequest("/foo/", 403), will_retry=True),
            "ERROR",
            "foo failed: /foo/ was refused with status 403; the next run tries again",
        ),
        (
            ProjectFailed(FOO, MissingProject("foo"), will_retry=False),
            "ERROR",
            "foo failed: the index has no page for foo; run sync again to retry",
        ),
        (
            ProjectFailed(FOO, UnmirroredProject("foo"), will_retry=False),
            "ERROR",
            "foo is not in the mirror",
        ),
        (
            FilesRejected(FOO, (Rejection("a.whl", "no digest"), Rejection("b", "odd"))),
            "ERROR",
            (
                "foo failed: rejected 2 file(s), which the mirror lacks; a.whl: no digest; "
                "if that is acceptable, name them in ignore-rejected"
            ),
        ),
        (
            FilesIgnored(FOO, (Rejection("a.whl", "no digest"), Rejection("b", "odd"))),
            "INFO",
            "foo: ignored 2 rejected file(s); a.whl: no digest",
        ),
        (
            CoreMetadataMissing(FOO, 2, "not there"),
            "WARNING",
            "foo: 2 file(s) without core metadata; not there",
        ),
        (
            ProjectBlocked(FOO, StorageError("a", "it is full")),
            "INFO",
            "foo waits for disk space: storage failed at a: it is full",
        ),
        (ProjectUnchanged(FOO), "DEBUG", "foo is unchanged"),
        (
            ProjectPostponed(FOO, StalePage("foo", target=8, actual=7), 2.0),
            "DEBUG",
            "foo is retried in 2 s: the page of foo is at serial 7, 8 is needed",
        ),
        (FileDownloaded(FOO, KEY, 300), "DEBUG", f"downloaded {KEY} (300 bytes)"),
        (FileRestored(FOO, KEY, 300), "DEBUG", f"restored {KEY}"),
        (FileRemoved(FOO, KEY), "DEBUG", f"moved {KEY} to removed/"),
        (PageWritten(KEY), "DEBUG", f"wrote {KEY}"),
        (PageRemoved(KEY), "DEBUG", f"removed {KEY}"),
    ],
)
def test_an_event_is_one_line(event: Event, level: str, message: str) -> None:
    assert logged_for(event) == [(level, message)]


def test_a_queued_file_is_logged_only_at_debug() -> None:
    assert logged_for(FileQueued(KEY, 300)) == [("DEBUG", f"queued {KEY} for download")]
    assert logged_for(FileQueued(KEY, 300), debug=False) == []


def test_files_and_pages_are_logged_only_at_debug() -> None:
    events: list[Event] = [
        FileDownloaded(FOO, KEY, 1),
        FileRestored(FOO, KEY, 1),
        FileRemoved(FOO, KEY),
        PageWritten(KEY),
        PageRemoved(KEY),
        ProjectUnchanged(FOO),
    ]

    assert logged_for(*events, debug=False) == []


def test_the_line_of_a_limit_names_the_way_out() -> None:
    error = ChangedFile("foo", "foo-1.0.tar.gz", published="11", offered="22")

    [(_, message)] = logged_for(ProjectFailed(FOO, error, will_retry=True))

    assert "run with --accept-change foo" in message


def test_the_source_of_a_line_is_where_the_event_was_emitted(
    logged: Callable[[], list[str]],
) -> None:
    """Events reach the log through the function that calls all sinks."""
    sink = EventLog(set_up(flags()))

    def all_sinks(event: Event) -> None:
        sink(event)

    def emitter() -> int:
        all_sinks(Warned("something"))
        frame = inspect.currentframe()
        assert frame is not None
        return frame.f_lineno - 3

    line = emitter()

    assert logged()[0].endswith(f" (test_logs.py:{line})")


# ---------------------------------------------------------------- log-config

ROOT_ONLY = """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys = short
[logger_root]
handlers = file
{root}
[handler_file]
class = FileHandler
args = ({log!r}, "w", "utf-8")
formatter = short
[formatter_short]
format = %(levelname)s|%(name)s|%(message)s
"""
WITH_OURS = (
    ROOT_ONLY.replace("keys = root", "keys = root, ours")
    + """
[logger_ours]
qualname = bandersnatch
handlers =
{ours}
"""
)
NO_FILE = ROOT_ONLY.replace("FileHandler", "NullHandler").replace('{log!r}, "w", "utf-8"', "")


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[..., tuple[logging.Logger, Path]]]:
    """Return a function that configures the log by a file, and returns logger and log file."""
    path, log = tmp_path / "log.conf", tmp_path / "log.txt"

    def configured(
        text: str, arguments: Namespace, *, root: str = "", ours: str = ""
    ) -> tuple[logging.Logger, Path]:
        path.write_text(text.format(log=str(log), root=root, ours=ours), encoding="utf-8")
        logger = set_up(arguments)
        use_file(logger, str(path), arguments)
        return logger, log

    yield configured
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()


def say_something(logger: logging.Logger) -> None:
    """Log a line at each level."""
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "said")


def levels(log: Path) -> list[str]:
    """Return the levels of the lines in a log file."""
    return [line.partition("|")[0] for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_log_config_with_only_a_root_logger_gets_all_lines(
    configured: Callable[..., tuple[logging.Logger, Path]], logged: Callable[[], list[str]]
) -> None:
    logger, log = configured(ROOT_ONLY, flags())
    say_something(logger)

    assert log.read_text().splitlines() == [
        "INFO|bandersnatch|said",
        "WARNING|bandersnatch|said",
        "ERROR|bandersnatch|said",
    ]
    assert logged() == []


@pytest.mark.parametrize(
    ("arguments", "ours", "expected"),
    [
        (flags(), "level = WARNING", ["WARNING", "ERROR"]),
        (flags(), "level = DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (flags(), "", ["INFO", "WARNING", "ERROR"]),
        (flags(debug=True), "level = ERROR", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (flags(quiet=True), "level = DEBUG", ["ERROR"]),
    ],
)
def test_a_level_in_the_log_config_counts_unless_a_flag_sets_another(
    configured: Callable[..., tuple[logging.Logger, Path]],
    arguments: Namespace,
    ours: str,
    expected: list[str],
) -> None:
    logger, log = configured(WITH_OURS, arguments, ours=ours)
    say_something(logger)

    assert levels(log) == expected


def test_secrets_and_control_characters_stay_out_of_a_configured_log(
    configured: Callable[..., tuple[logging.Logger, Path]],
) -> None:
    logger, log = configured(ROOT_ONLY, flags())
    logger.error("%s", "https://user:secret@example.org\n\x1b[2J 100%")

    assert log.read_text() == "ERROR|bandersnatch|https://***@example.org\\n\\x1b[2J 100%\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no 'formatters'"),
        ("nonsense", "File contains no section headers."),
        ("[formatters]\nkeys = a\nkeys = b\n", "option 'keys' in section 'formatters' already"),
        (ROOT_ONLY.replace("FileHandler", "NoHandler"), ""),
        (ROOT_ONLY.replace("{log!r}", "nonsense"), "name 'nonsense' is not defined"),
        (ROOT_ONLY.replace('"utf-8")', "("), ""),
        (ROOT_ONLY.replace("{log!r}", "1, 2, 3, 4, 5, 6, 7"), ""),
        (ROOT_ONLY.replace("{log!r}", "'/nowhere/log.txt'"), "No such file or directory"),
        (NO_FILE.replace("{root}", "level = LOUD"), "Unknown level: 'LOUD'"),
        (ROOT_ONLY.replace("[handler_file]", "[handler_other]"), ""),
    ],
)
def test_an_invalid_log_config_is_a_problem_of_its_option(
    configured: Callable[..., tuple[logging.Logger, Path]],
    logged: Callable[[], list[str]],
    tmp_path: Path,
    text: str,
    reason: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(text, flags(config="the.conf"))
    problem = str(caught.value)
    logger = logging.getLogger("bandersnatch")
    logger.error("%s", problem)
    logger.debug("nothing")

    what = f"the.conf: [mirror] log-config: {tmp_path / 'log.conf'} cannot be used as"
    assert problem.startswith(what)
    assert reason in problem
    assert not problem.endswith("()")
    [line] = logged()
    assert LINE.fullmatch(line)


@pytest.mark.parametrize(
    ("name", "reason"), [("none", "No such file or directory"), (".", "Is a directory")]
)
def test_a_log_config_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    logger = set_up(flags())

    with pytest.raises(ConfigError, match=reason):
        use_file(logger, str(tmp_path / name), flags())
