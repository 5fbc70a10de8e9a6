"""The fault table: every foreseen fault, and what must happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fault(NamedTuple):
    """A row of the table: a fault, the expected outcome, and the exit status of the run.

    ``exits`` lists the statuses that the variants of the fault lead to, "" where the run does not
    end by itself.
    """

    title: str
    expected: str
    exits: str = "0"


CHAPTERS: Mapping[int, str] = {
    1: "HTTP",
    34: "The index, serials, removal",
    60: "Pages and content",
    75: "Hostile names",
    91: "Processes",
    100: "Storage",
    114: "Commands, configuration, time",
    126: "Beyond the limits of one row",
    168: "An object store",
    180: "A database",
    190: "Dependencies",
    200: "Workers on several machines",
}
"""The number that each chapter begins with."""

_HTTP = (
    Fault(
        "the index answers 500, 502, 503 or 504 once",
        "the request is retried and the run succeeds",
    ),
    Fault(
        "the index answers 5xx permanently",
        "the run stops and names the status; nothing is changed",
        "3",
    ),
    Fault(
        "a project page answers 5xx once, or permanently",
        "recovered in the same run; otherwise that project fails and the others are synced",
        "0, 4",
    ),
    Fault(
        "429 with a `Retry-After` in seconds",
        "no request is sent to that host before the time; then the run succeeds",
    ),
    Fault(
        "429 with a `Retry-After` that is a date, garbage, huge, or negative",
        "a date is honoured; garbage means the normal back-off; beyond the limit the request fails",
        "0, 4",
    ),
    Fault(
        "503 with a `Retry-After` for a file",
        "the host is not asked before the time; then the file is downloaded",
    ),
    Fault(
        "the page of a listed project is missing",
        "it is requested again after a minute; if it is still missing the project fails",
        "4",
    ),
    Fault(
        "the pages of very many listed projects are missing",
        "a page that worked and the beginning of the run are requested again: if they fail too the "
        "run stops, else those projects fail and all others are synced; nothing is removed",
        "3, 4",
    ),
    Fault(
        "one file is missing, or has wrong content, permanently",
        "the first run keeps the previous page; later runs publish the page without the file and "
        "report it each time",
        "4",
    ),
    Fault(
        "the core metadata of a file is missing",
        "file and page are published; the metadata is not advertised, and retried later",
    ),
    Fault("401, 403 or 451", "the project fails after one request", "4"),
    Fault(
        "the index refuses connections, does not resolve, or cannot be reached",
        "retried, then the run stops and names the reason",
        "3",
    ),
    Fault(
        "a connection is reset before, in, or after the headers",
        "retried; a body continues where it broke off if its validator allows that",
    ),
    Fault(
        "a body is shorter than its `Content-Length`",
        "detected and retried",
    ),
    Fault(
        "a chunked body is cut, or ends early without an error",
        "detected by the announced size and digest, and retried",
        "0, 3, 4",
    ),
    Fault(
        "a body is longer than announced, or endless",
        "aborted at the limit; no more than one chunk beyond it is written",
        "4",
    ),
    Fault(
        "no data after the headers, or in the middle of a body",
        "times out and is retried",
        "0, 4",
    ),
    Fault(
        "a body arrives a few bytes at a time",
        "aborted for being below the minimum rate; other projects are not delayed",
        "0, 4",
    ),
    Fault(
        "a body is slow and steady for longer than any timeout",
        "downloaded: bodies have no total timeout",
    ),
    Fault(
        "a `Range` request is answered with 200, another range, or 416",
        "the download starts again; parts that do not fit are never joined",
    ),
    Fault(
        "redirects in a loop, or too many",
        "refused without a retry",
        "0, 4",
    ),
    Fault("a redirect from https to http", "refused", "3, 4"),
    Fault(
        "a redirect or the URL of a file leads to a private address",
        "refused, by the address that is connected to, unless the host is trusted",
        "0, 4",
    ),
    Fault("a redirect to `file:`, `ftp:` or `data:`", "refused", "3, 4"),
    Fault(
        "a redirect to another public host",
        "followed; credentials are not sent along",
    ),
    Fault(
        "a certificate is self-signed, expired, or for another host; TLS 1.0 only",
        "refused without a retry, with the reason",
        "3, 4",
    ),
    Fault(
        "the proxy refuses, requires a password, or answers with its own page",
        "the run stops and names the proxy; the password is not shown",
        "3",
    ),
    Fault(
        "a file is sent with `Content-Encoding: gzip`",
        "stored only if the bytes as sent match the digest",
        "0, 4",
    ),
    Fault(
        "a small compressed document expands to a huge one",
        "decoding stops at the limit; memory stays within it",
        "3, 4",
    ),
    Fault(
        "100,000 headers, a header of 1 MB, a number with 5,000 digits",
        "the answer is refused by its limit, or the number is ignored",
        "0, 3, 4",
    ),
    Fault(
        "garbage after an answer, in its headers, or instead of it",
        "the connection is dropped and the request is retried",
        "0, 4",
    ),
    Fault(
        "two hosts answer by turns, and one serves old content",
        "the newer page counts; nothing goes back",
    ),
    Fault(
        "a second source of files has wrong content, no content, or is slow",
        "the file is downloaded from the index instead",
    ),
)

_INDEX = (
    Fault("the list of projects becomes empty", "nothing is removed", "0, 5"),
    Fault(
        "the list of projects becomes much shorter",
        "additions are made; removals beyond the limit are refused, and the option is named",
        "5",
    ),
    Fault("the list is empty at the first run", "refused as unusable", "3"),
    Fault("the list is JSON of another form", "refused, naming the wrong key", "3"),
    Fault("the list is an HTML page for people", "refused, naming the content type", "3"),
    Fault(
        "the list is truncated, not UTF-8, or pathological JSON",
        "refused; a byte order mark is tolerated",
        "0, 3",
    ),
    Fault(
        "the list has another version of the API",
        "another major version is refused; a newer minor one is used with a warning",
        "0, 3",
    ),
    Fault(
        "one entry of the list is invalid, or many are",
        "one entry is dropped with a warning; many make the list unusable",
        "0, 3",
    ),
    Fault("an index without serials", "changes are found by comparing the pages"),
    Fault("the serial of the index goes back a little", "nothing goes back; nothing is removed"),
    Fault("the index is new and old by turns", "the state of each project never goes back"),
    Fault(
        "the serial of the index goes back far",
        "refused until the operator accepts it",
        "5",
    ),
    Fault("the serial of a project goes back", "ignored"),
    Fault(
        "a serial becomes visible late",
        "the project is synced as soon as it shows, or by the next comparison of the whole list",
    ),
    Fault(
        "one project has a huge serial",
        "no other project is affected, and `status` does not follow it",
        "0, 4",
    ),
    Fault("a project with a huge serial has no page", "that project fails; `status` stays", "4"),
    Fault(
        "a page is older than the list, for a moment or for days",
        "retried in the run; then the project fails, and the others are synced in every run",
        "0, 4",
    ),
    Fault(
        "the serials in header and page are missing, garbage, or differ",
        "one of them is enough; if they differ the lower one counts",
        "0, 4",
    ),
    Fault(
        "a project is removed",
        "its page is removed at a second look ten minutes later, or immediately if the changelog "
        "says so; its files wait in `removed/`",
        "0, 4",
    ),
    Fault("a project is quarantined", "its page stays, without files"),
    Fault(
        "a project returns within the grace time",
        "it is restored without a download, after a check of what waited",
    ),
    Fault("a release, or a file, is removed", "the page changes first; the file waits"),
    Fault(
        "all files of a project vanish",
        "held once and accepted at the second look, unless the changelog proves it",
    ),
    Fault("very much changes in one run", "normal work: additions have no limit"),
    Fault("two names on the list are equal when normalised", "they count as one project"),
    Fault(
        "a list of millions of projects",
        "read within the memory limit, or refused by the size limit",
        "0, 3",
    ),
)

_CONTENT = (
    Fault(
        "a page is truncated, another document, or has a wrong type at any key",
        "the project fails and keeps its last valid page; a wrong type that only describes a file "
        "is dropped; an invalid entry of a published file holds the page",
        "0, 4",
    ),
    Fault(
        "a file has another sha256, once or permanently",
        "retried; then the file fails and nothing of it is kept",
        "0, 4",
    ),
    Fault("a file has another size than announced", "the file fails even if its sha256 fits", "4"),
    Fault(
        "the page names another sha256 for a published file",
        "the published file stays and the project is held until the operator accepts the change",
        "5",
    ),
    Fault(
        "a file name occurs twice, with other URLs and digests",
        "the page is invalid; equal entries count as one",
        "0, 4",
    ),
    Fault(
        "a URL occurs twice, with other digests",
        "the page is invalid; under another name the entry is dropped",
        "0, 4",
    ),
    Fault("two names for the same content", "both are published"),
    Fault(
        "a sha256 is missing, in upper case, or too short",
        "upper case is accepted; without a valid sha256 the entry is dropped",
    ),
    Fault(
        "a size is not a size",
        "an entry with an impossible size is dropped; one without a size is measured",
    ),
    Fault("an upload time is not a time", "published without the time"),
    Fault("core metadata has another sha256", "not stored and not advertised; the file is"),
    Fault(
        "`yanked` and `requires-python` of every type and length",
        "texts up to the limit are kept; other values count as missing, with a warning",
    ),
    Fault("a page has the name of another project", "the project fails", "4"),
    Fault("a page changes between two tries", "the last answer is used as a whole"),
    Fault(
        "a file changes between two of its parts",
        "the digest does not match, and the download starts again",
    ),
)

_NAMES = (
    Fault(
        "the URL of a file climbs out of the tree",
        "the entry is dropped, or resolved within its host, before any path is made",
    ),
    Fault(
        "the URL of a file is unusual in any other way",
        "dropped if it is not a plain URL; a fragment is ignored",
    ),
    Fault(
        "the URL of a file names a page or a state file",
        "the file is stored below `packages/` or dropped, never elsewhere",
    ),
    Fault(
        "control characters, bidirectional overrides and surrogates in names",
        "the entry is dropped, or the page is invalid; messages show them escaped",
        "0, 4",
    ),
    Fault(
        "names with a meaning to shells, web servers or other systems",
        "the entry is dropped",
    ),
    Fault("very long file names", "up to 255 bytes are published; longer ones are dropped"),
    Fault(
        "long names in characters of several bytes; two spellings of one name",
        "names that are not ASCII are dropped",
    ),
    Fault(
        "names that differ in case only, on a file system that ignores case",
        "they never share a directory",
    ),
    Fault(
        "names that are not project names",
        "dropped before they reach the file system; the others are synced",
    ),
    Fault("a script in every text", "escaped in every form of page, or dropped"),
    Fault(
        "a state file that was edited",
        "its values pass the same checks as values from the index; invalid ones are read again",
    ),
    Fault(
        "a hostile page or catalogue row from an earlier run",
        "only paths that the validated values lead to are used; the damage is repaired",
        "0, 7, 8",
    ),
    Fault(
        "commands with hostile arguments",
        "usage error that names the argument; unknown projects are named",
        "2, 4",
    ),
    Fault(
        "symbolic links planted in the tree",
        "replaced or refused, never followed; only whole areas may be links",
        "0, 4, 7",
    ),
    Fault(
        "a published file is a hard link of a file outside",
        "replaced by a rename; the file outside keeps its content",
    ),
    Fault(
        "a pipe, socket, device or directory in the place of a file",
        "replaced or reported, and never opened",
        "0, 4, 8",
    ),
)

_PROCESSES = (
    Fault(
        "`kill -9` at any moment",
        "readers see a valid tree; the next run gives the tree of a clean mirror",
        "",
    ),
    Fault(
        "SIGTERM, SIGHUP, SIGINT",
        "requests are cancelled, finished work is recorded; a second signal ends the process",
        "129, 130, 143",
    ),
    Fault("stopped for minutes and continued", "connections are opened again; the lock is kept"),
    Fault(
        "a second command while one is running",
        "refused immediately, naming the process; commands that only read are answered",
        "6",
    ),
    Fault(
        "the lock of a dead process; a lock that is taken away",
        "a left-over file is no obstacle; the loss of the lock ends the run before a commit",
        "0, 7",
    ),
    Fault("two machines on one file system", "the lock of the kernel decides", "6"),
    Fault(
        "no memory, file descriptors or threads left",
        "the run reports it and loses nothing",
        "0, 3, 4, 7",
    ),
    Fault("standard output and error are closed or full", "the run goes on"),
    Fault(
        "an exception at any step",
        "reported as a bug; nothing is destroyed, and the next run succeeds",
        "1, 4",
    ),
)

_STORAGE = (
    Fault(
        "no space left, at any write",
        "downloads stop, state is saved, temporary files are removed",
        "7",
    ),
    Fault(
        "less free space than is to be kept free",
        "no download begins; pages are still published, and files wait for the next run",
        "0, 7, 8",
    ),
    Fault("a read-only file system", "the run stops immediately and names the path", "7"),
    Fault(
        "an I/O error at any call",
        "reported; data whose flush failed counts as lost; a failed rename is never a copy",
        "4, 7",
    ),
    Fault(
        "an area of the mirror is on another file system, or it is full, or a mount is below it",
        "staged where it is written to; what moves to another disk is copied, checked, flushed, "
        "then deleted",
        "0, 7",
    ),
    Fault("power failure", "what was recorded as done is intact; the next run does the rest", ""),
    Fault(
        "only the name of a new file reached the disk",
        "the file is downloaded again",
        "",
    ),
    Fault(
        "a bit changes by itself",
        "`verify` finds it and repairs the file; a damaged catalogue is rebuilt",
        "0, 7, 8",
    ),
    Fault(
        "the state is missing, truncated, old, new, or of another mirror",
        "rebuilt from the tree without a download; the tree of a newer release is refused",
        "0, 2",
    ),
    Fault("the disk of the mirror is not mounted", "refused, with the way out", "7"),
    Fault(
        "the tree is changed by someone else",
        "`verify` repairs what was changed and reports what was added",
        "0, 8",
    ),
    Fault("unusual umask and inherited groups", "modes are 0644 and 0755 in any case"),
    Fault(
        "a file system without some operations, such as network file systems",
        "done without, or reported",
        "0, 4, 7",
    ),
    Fault("object storage that is slow, partial or refuses", "errors are never an empty list", "7"),
)

_COMMANDS = (
    Fault(
        "removal of orphaned files while a page cannot be read",
        "nothing counts as orphaned until every page is readable, or named by an option",
        "4, 8",
    ),
    Fault(
        "a full update from an index that answers nothing usable",
        "nothing is removed",
        "3",
    ),
    Fault("a removal larger than the limit", "refused as a whole", "5"),
    Fault(
        "a dry run",
        "no system call changes the mirror",
        "0, 4, 8",
    ),
    Fault(
        "mistakes in the configuration",
        "all are reported before anything is done, with a suggestion",
        "2",
    ),
    Fault(
        "a list of names grows or shrinks after a run",
        "new projects are fetched; removals stay within the limit",
        "0, 5",
    ),
    Fault(
        "the clock jumps",
        "nothing is purged on the word of a clock that cannot be right",
    ),
    Fault("the tree of an earlier release", "taken over without a download"),
    Fault("a command to run fails or hangs", "does not change the result of the run"),
    Fault(
        "a kill while the list of changes is written",
        "the next run lists what the killed one changed",
        "",
    ),
    Fault(
        "the report cannot be written",
        "the exit status is that of the run",
        "that of the run",
    ),
    Fault("no run has succeeded for a long time", "the health check fails", "8"),
)

_LATER = (
    Fault(
        "the pages of an index lose most of their files, at once or one after the other",
        "the smallest losses are published, up to the limit of 24 hours; the other pages stay",
        "0, 5",
    ),
    Fault(
        "the URL of the index is wrong, or the index has none of the named projects",
        "the run stops and names the likely right URL; nothing is removed",
        "3",
    ),
    Fault(
        "pages without a usable content type",
        "read by their content; requested again as HTML if that fails",
    ),
    Fault("the index has moved", "every kind of request follows the redirect"),
    Fault(
        "a file on a host that `file-hosts` does not list", "not requested; the project fails", "4"
    ),
    Fault(
        "files whose names are not safe, or without a digest",
        "rejected one by one in every run, until they are gone or acknowledged",
        "4",
    ),
    Fault(
        "an index without sha256",
        "the strongest digest is verified; the pages have the computed sha256",
    ),
    Fault(
        "a `download-mirror` fails, or answers with wrong bytes",
        "not asked again in this run after a few failures; the index has the files",
    ),
    Fault(
        "an index answers that legacy documents or core metadata do not exist",
        "after 40 in a row that kind of document is not requested in this run",
    ),
    Fault(
        "an error with `stop-on-error`",
        "the next run continues with what was not visited",
        "4",
    ),
    Fault(
        "a file system that does not hold names apart",
        "of files whose names collide the first is kept, the others are rejected",
        "4",
    ),
    Fault(
        "a server's certificate is not trusted, or it requires a login or a client certificate",
        "nothing changes; the message names the option",
        "3, 4",
    ),
    Fault("a companion of a version changes", "it is fetched again; it is not a changed file"),
    Fault(
        "the system lacks directory descriptors, links, `syncfs`, `/proc`, `fcntl` and signals",
        "the tree is the same, also after a kill",
    ),
    Fault(
        "the same signal twice within a second, or at once to the process and its group",
        "it counts once: the run ends in order; later, or with another one, the process is killed",
        "129, 130, 143",
    ),
    Fault(
        "any system call fails with any error, once, often, or from then on",
        "no traceback and no loss; two runs give the tree of a clean mirror",
        "0, 3, 4, 6, 7, 8",
    ),
    Fault(
        "another user renames, links, truncates and exchanges files of the tree during a run",
        "nothing outside changes; what he brought away, `verify` and `mirror` repair the rest",
        "0, 4, 7, 8",
    ),
    Fault(
        "two projects name one path with the same content",
        "they share the file, which leaves with the last of them",
    ),
    Fault(
        "a project names a path of another one with other content",
        "nothing is overwritten; the file of the second one is rejected",
        "4",
    ),
    Fault(
        "the owner of a path leaves it, or is restored later",
        "the project that waits gets the path in the same run, and keeps it",
        "0, 4",
    ),
    Fault(
        "a page or document of a few kilobytes would take minutes of processor time to read",
        "it is refused as too heavy after a second or two; the others are synced",
        "3, 4",
    ),
    Fault(
        "a page changes, or is gone, and no serial or event says so",
        "the sweep finds it within `sweep-interval`; it delays nothing, and `status` does not wait",
    ),
    Fault(
        "pages that the sweep asks for cannot be read",
        "those projects fail and are asked for again in the next run; `status` does not wait",
        "4",
    ),
    Fault(
        "nothing is mounted where `/etc/fstab` or systemd names a mount point of the mirror's path",
        "refused before anything is written, unless there is a mirror",
        "7",
    ),
    Fault("there is no mirror, and `must-exist = true`", "refused before anything is written", "7"),
    Fault(
        "the storage fails at one place of a project that is removed",
        "that project fails, the others are removed and synced; the next run removes it",
        "7",
    ),
    Fault(
        "an unforeseen exception, at some projects",
        "they fail, with the traceback in the report; all others are synced",
        "1",
    ),
    Fault(
        "most projects fail, wherever they are in the alphabet",
        "all others are synced; the index is given up only if what worked before fails too",
        "3, 4",
    ),
    Fault(
        "a server answers anything: any status, headers, body and pace, to any condition and range",
        "no internal error, no wrong content; then two runs give the tree of a clean mirror "
        "(generator: `answers.py`)",
        "0, 3, 4, 5",
    ),
    Fault(
        "serials, events and times of the index are raised, lowered, missing, doubled or in "
        "any order",
        "`status` claims no more than the tree shows; then two runs give the tree of a clean "
        "mirror (generator: `words.py`)",
        "0, 3, 4, 5",
    ),
    Fault(
        "a response is not an answer to the request: 304 without a condition, 206 without its "
        "range, 204, a body compressed twice",
        "requested once more past the caches; then the page, the file or the list fails",
        "0, 3, 4",
    ),
    Fault(
        "the head serial is wrong, or ahead of its events",
        "`status` follows the events that were read; the next run reads the others",
    ),
    Fault(
        "a page states an impossible serial, or none",
        "not stored and not passed on; the next comparison asks for the page again",
    ),
    Fault(
        "a change looks old to one of two clocks only",
        "the page is not accepted by expiry; by the clock of the index alone it waits for a "
        "second look",
        "0, 4",
    ),
    Fault(
        "`master` names another index",
        "a warning; every page is compared, and what is right is not downloaded again",
    ),
    Fault(
        "a row of the catalogue is damaged",
        "it counts as missing: nothing is rendered, published or removed from it; the project is "
        "read again from its page, and the index is asked in the same run",
    ),
    Fault(
        "the catalogue has another schema",
        "put aside, and its undamaged rows are kept; an older version is converted, a newer one "
        "refused",
        "0, 2",
    ),
    Fault(
        "a part of the mirror is of another moment, as after a restore from a backup",
        "noticed by its mark; everything is compared by content of pages, and by size and time of "
        "files; what was removed before leaves at once",
    ),
    Fault(
        "any damage to any part of the state",
        "no traceback; `verify` makes no page and no file worse; two runs of `mirror` and `verify` "
        "give the tree of a clean mirror",
        "0, 2, 3, 4, 5, 7, 8",
    ),
    Fault(
        "the clock shows any time from 1970 to 2100, and jumps",
        "everything is synced and nothing is purged too early",
    ),
    Fault(
        "clients of `serve` ask for pages and files while runs change the tree",
        "type, length, encoding and ETag of each answer belong to one published page, and every "
        "file that it names is there",
    ),
    Fault(
        "requests to `serve` are wrong, slow, half closed, or nonsense",
        "nothing that is not to be served is reached; no traceback; no memory, descriptor or "
        "connection is lost",
        "-",
    ),
)

_STORE = (
    Fault(
        "the object store answers 503 SlowDown or 500, or resets the connection, once",
        "the request is repeated, and the run succeeds",
    ),
    Fault(
        "the object store or its bucket fails from some moment of a run on",
        "the run stops with one sentence; what is published is complete; the next run goes on",
        "7",
    ),
    Fault(
        "the answer of the object store to a change is lost",
        "the request is repeated, and the run succeeds, also if it completes a large file",
    ),
    Fault(
        "the object store sends incomplete content",
        "it is never taken for the object; the run stops",
        "7",
    ),
    Fault(
        "the object store does not permit one kind of request",
        "the run stops, and names the request",
        "7",
    ),
    Fault(
        "the object store refuses expired credentials, or the clock, in the middle of a run",
        "the run stops with the reason; the next run goes on",
        "7",
    ),
    Fault(
        "the process is killed between two requests to the object store",
        "every page names what is stored; the next run goes on",
        "",
    ),
    Fault(
        "the object store does not answer at all",
        "the run stops after the limits of time and attempts",
        "7",
    ),
    Fault(
        "objects of the store have other bytes than were stored",
        "`verify` finds and repairs them, whatever their metadata says",
    ),
    Fault(
        "a command on another machine works on the same bucket, and ends during the run",
        "the run stops before it records anything more; the next one compares everything",
        "6",
    ),
    Fault(
        "a listing of the object store lacks new objects, or still has deleted ones",
        "`verify` reports, downloads and deletes nothing that only the listing shows wrongly; no "
        "page names what is not stored",
    ),
)

_DATABASE = (
    Fault(
        "the database server is restarted in the middle of a run",
        "the connection is made again, with a warning; the run succeeds",
    ),
    Fault(
        "the connection to the database is cut, once or all the time",
        "the connection is made again, what was interrupted is done again; the run succeeds",
    ),
    Fault(
        "the database server stays away for more than a minute",
        "the run stops with one sentence; what is published is complete; the next run goes on",
        "7",
    ),
    Fault(
        "another command takes the lock while the connection to the database is lost",
        "the run stops and writes nothing more; the next run goes on",
        "6",
    ),
    Fault(
        "two machines run commands with one catalogue in a database",
        "the second finds the lock held; a catalogue of another mirror is not reset",
        "6, 7",
    ),
    Fault(
        "a newer release has changed the schema of the database",
        "nothing is changed, and the sentence says so",
        "2",
    ),
    Fault(
        "the user of the database lacks a permission",
        "the run stops with one sentence; the next run goes on",
        "7",
    ),
    Fault(
        "rows in the database are edited by hand",
        "they count as missing, and are read again from the index or the tree",
        "0, 4",
    ),
    Fault(
        "the process is killed while its catalogue is in a database",
        "every page names what is stored; the lock is free; the next run goes on",
        "",
    ),
)

_DEPENDENCIES = (
    Fault(
        "core metadata of a file that is followed does not parse",
        "the file and the reason are named; the rest is followed",
    ),
    Fault(
        "requirements that are not those of PEP 508",
        "well-known mistakes are read as meant; others are named; the rest is followed",
    ),
    Fault(
        "core metadata with 100,000 requirements, or with thousands of extras in a chain",
        "too many are named and not followed; a chain costs no more than its length",
    ),
    Fault(
        "a dependency that the index does not have, or not in a version that is allowed",
        "named with who needs it, in each run, until it is there; the rest is followed",
        "4",
    ),
    Fault(
        "the process is killed between the commit of a project and that of what it needs",
        "the next run follows what is left",
        "",
    ),
    Fault(
        "a dependant leaves in a run that is killed",
        "the next run removes exactly what only it needed",
        "",
    ),
    Fault(
        "core metadata is lost or damaged on the disk",
        "it is not believed; the requirements are read from the index",
    ),
    Fault(
        "projects in a ring need one another, and that changes",
        "every run ends",
    ),
    Fault(
        "a closure with more projects than `max-projects`, or deeper than `depth`",
        "the run names the number and follows nothing beyond the limit",
        "5",
    ),
)

_WORKERS = (
    Fault(
        "workers are killed at random moments",
        "the others do their projects; the tree is that of a clean run",
    ),
    Fault(
        "the coordinator is killed, and started again",
        "workers publish nothing more for the first; the second does what was not recorded",
    ),
    Fault(
        "a worker hangs until its projects are given to another one, and goes on then",
        "it publishes nothing more of them; the next run compares them",
    ),
    Fault(
        "the database server is restarted while workers are at work",
        "everything waits, and what was lost is done again; the run succeeds",
    ),
    Fault(
        "the connections of coordinator and workers are cut, once or all the time",
        "they are made again; the run succeeds",
    ),
    Fault(
        "a second coordinator is started",
        "it finds the lock held; the first is not disturbed",
        "6",
    ),
    Fault(
        "a worker has another release",
        "it does not take part, and names both; so does the coordinator",
        "2",
    ),
    Fault(
        "a worker is asked to end",
        "it hands back what it has not finished; the others do that; the run succeeds",
        "0, 143",
    ),
    Fault(
        "the object store is gone for a while while workers are at work",
        "the run succeeds, or stops with one sentence; the next run goes on",
        "0, 7",
    ),
)

FAULTS: Mapping[int, Fault] = {
    **dict(
        enumerate(
            (
                *(*_HTTP, *_INDEX, *_CONTENT, *_NAMES, *_PROCESSES, *_STORAGE, *_COMMANDS),
                *(*_LATER, *_STORE),
            ),
            1,
        )
    ),
    **dict(enumerate(_DATABASE, 180)),
    **dict(enumerate(_DEPENDENCIES, 190)),
    **dict(enumerate(_WORKERS, 200)),
}
"""Every fault by its case number; tests are named ``test_case_<number>_...``."""

NOT_APPLICABLE: Mapping[int, str] = {
    96: "needs two machines; the kernel's lock decides, which file systems pass on",
    122: "the program runs no other command",
}
"""Cases that cannot be tested, with the reason."""

NOT_YET: Mapping[int, str] = {}
"""Cases whose outcome is not as expected, with the actual one."""
