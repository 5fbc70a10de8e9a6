"""The command line parser: the flags of each command, and usage errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandersnatch import __version__
from bandersnatch.cli.parser import parse, parser

COMMANDS = [["mirror"], ["sync", "six"]]
REPORTED = [*COMMANDS, ["delete", "six"], ["restore", "six"]]
NO_COMMAND = (
    "name a command: init, mirror, work, sync, verify, delete, restore, copy, plan, why, closure, "
    "prove, status, serve, webserver-config, doctor, run, config, catalogue, completion, man"
)


def test_the_default_configuration_is_in_etc() -> None:
    arguments = parse(["mirror"])

    assert arguments.config == Path("/etc/bandersnatch.conf")
    assert not arguments.debug
    assert not arguments.quiet
    assert arguments.report is None
    assert arguments.accept_change == []


@pytest.mark.parametrize("command", REPORTED)
@pytest.mark.parametrize("flag", [["-c", "here"], ["--config", "here"], ["--config=here"]])
def test_config_is_accepted_before_and_after_the_command(
    command: list[str], flag: list[str]
) -> None:
    assert parse([*flag, *command]).config == Path("here")
    assert parse([*command, *flag]).config == Path("here")


@pytest.mark.parametrize("command", REPORTED)
@pytest.mark.parametrize("flag", ["--debug", "--quiet"])
def test_flags_are_accepted_before_and_after_the_command(command: list[str], flag: str) -> None:
    before = parse([flag, *command])
    after = parse([*command, flag])

    assert getattr(before, flag.removeprefix("--")) is True
    assert vars(before) == vars(after)


def test_flags_after_the_command_do_not_reset_those_before_it() -> None:
    arguments = parse(["--debug", "-c", "here", "mirror", "--quiet"])

    assert arguments.debug
    assert arguments.quiet
    assert arguments.config == Path("here")


def test_the_last_of_two_configurations_counts() -> None:
    assert parse(["-c", "one", "mirror", "-c", "two"]).config == Path("two")


def test_mirror_has_its_flags() -> None:
    arguments = parse(
        ["mirror", "--force-check", "--dry-run", "--cleanup-todo", "--report", "r.json"]
    )

    assert arguments.command == "mirror"
    assert arguments.force_check
    assert arguments.dry_run
    assert arguments.report == Path("r.json")


def test_mirror_has_defaults() -> None:
    arguments = parse(["mirror"])

    assert not arguments.force_check
    assert not arguments.dry_run


def test_sync_takes_projects_and_may_skip_the_root_page() -> None:
    arguments = parse(["sync", "six", "Foo.Bar", "--skip-simple-root"])

    assert arguments.command == "sync"
    assert arguments.projects == ["six", "Foo.Bar"]
    assert arguments.skip_simple_root
    assert not parse(["sync", "six"]).skip_simple_root


def test_delete_takes_projects_and_the_flags_of_earlier_releases() -> None:
    argv = ["delete", "six", "Foo.Bar", "--dry-run", "--workers", "3", "--skip-json-fetch"]
    arguments = parse([*argv, "--report", "r.json"])

    assert arguments.command == "delete"
    assert arguments.projects == ["six", "Foo.Bar"]
    assert arguments.dry_run
    assert not arguments.until_next_change
    assert arguments.report == Path("r.json")
    assert parse(["delete", "six", "--until-next-change"]).until_next_change


def test_restore_takes_projects() -> None:
    arguments = parse(["restore", "six", "Foo.Bar", "--dry-run"])

    assert arguments.command == "restore"
    assert arguments.projects == ["six", "Foo.Bar"]
    assert arguments.dry_run
    assert not parse(["restore", "six"]).dry_run


@pytest.mark.parametrize("flag", ["--workers", "--skip-json-fetch"])
def test_the_help_of_a_flag_without_effect_says_so(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["delete", "--help"])

    printed = " ".join(capsys.readouterr().out.rpartition(f"{flag} ")[2].split())
    assert "without effect" in printed[:100]


@pytest.mark.parametrize("command", COMMANDS)
def test_accept_change_may_be_given_several_times(command: list[str]) -> None:
    arguments = parse([*command, "--accept-change", "one", "--accept-change", "two"])

    assert arguments.accept_change == ["one", "two"]


def test_parsing_twice_shares_no_values() -> None:
    parse(["mirror", "--accept-change", "one"])

    assert parse(["mirror"]).accept_change == []


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse([])

    out, err = capsys.readouterr()
    assert left.value.code == 0
    assert out == parser().format_help()
    assert err == ""


@pytest.mark.parametrize(
    "argv",
    [
        *(["--help"], ["-h"], ["mirror", "--help"], ["sync", "-h"]),
        *(["delete", "--help"], ["restore", "-h"]),
    ],
)
def test_help_is_printed_on_request(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(argv)

    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("usage: bandersnatch")


def test_the_help_names_every_command_and_every_flag() -> None:
    text = parser().format_help()

    for word in (
        "mirror",
        "sync",
        "delete",
        "restore",
        "--config",
        "--debug",
        "--quiet",
        "--version",
        "--help",
    ):
        assert word in text


@pytest.mark.parametrize("argv", [["--version"], ["mirror", "--version"], ["sync", "--version"]])
def test_the_version_is_printed_on_request(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(argv)

    assert left.value.code == 0
    assert capsys.readouterr().out == f"bandersnatch {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--debug"], NO_COMMAND),
        (["-c", "here"], NO_COMMAND),
        (["-c"], "argument -c/--config: expected one argument"),
        (["sync"], "the following arguments are required: PROJECT"),
        (["delete"], "the following arguments are required: PROJECT"),
        (["delete", "--dry-run"], "the following arguments are required: PROJECT"),
        (["restore"], "the following arguments are required: PROJECT"),
        (["delete", "six", "--workers", "many"], "argument --workers: invalid int value: 'many'"),
        (["delete", "six", "--accept-change", "a"], "unrecognized arguments: --accept-change a"),
        (["mirror", "six"], "unrecognized arguments: six"),
        (["mirror", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["mirror", "--skip-simple-root"], "unrecognized arguments: --skip-simple-root"),
        (["sync", "six", "--force-check"], "unrecognized arguments: --force-check"),
        (["mirror", "--report"], "argument --report: expected one argument"),
        (["mirror", "--accept-change"], "argument --accept-change: expected one argument"),
        (["mirrors"], "invalid choice: 'mirrors'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_an_invalid_command_line_is_a_usage_error(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(argv)

    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert out == ""
    assert err.startswith("usage: bandersnatch")
    assert message in err
