"""The faults that are put into the program by hand: each once was one of another mirror.

A mutant whose text is not found any more is to be written anew, not to be dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A fault: ``old`` in ``file``, which is there just once, becomes ``new``.

    ``tests`` are those that should notice, below ``tests/``.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file, from where everything is."""
        return Path("src/bandersnatch") / self.file

    def applied(self, text: str) -> str:
        """Return the file's text with the fault in it."""
        assert text.count(self.old) == 1, f"{self.name}: {self.file} has changed"
        return text.replace(self.old, self.new)


MUTANTS = (
    Mutant(
        "a file is deleted before its replacement is there",
        "mirror/files.py",
        "        key = layout.release_file(file)\n"
        "        content = await self._download(file, key, expect(",
        "        key = layout.release_file(file)\n"
        "        await self._storage.delete([key])\n"
        "        content = await self._download(file, key, expect(",
        ("integration/test_files.py",),
    ),
    Mutant(
        "the lock is released before the work",
        "storage/filesystem.py",
        "stack.callback(self._lock().release)",
        "self._lock().release()",
        ("unit/test_filesystem.py", "contract/test_storage.py", "integration/test_cli.py"),
    ),
    Mutant(
        "todo is worked off before the index is asked",
        "mirror/run.py",
        "        if self._orders.only is not None:\n            return Discovery(None, sweep",
        "        if state.todo is not None and state.todo.pending:\n"
        "            return Discovery(state.cursor)\n"
        "        if self._orders.only is not None:\n            return Discovery(None, sweep",
        ("integration/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "the highest serial counts",
        "mirror/state.py",
        "    reached = min((",
        "    reached = max((",
        ("unit/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "status passes a project that failed",
        "mirror/run.py",
        "    firsts = [wishes[name].lo for name in checkpoint.pending]\n",
        "    firsts = []\n",
        ("integration/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page that is missing is a success",
        "mirror/project.py",
        "            raise ProjectNotFound(wanted.name)\n",
        "            return Outcome(wanted, Result.ABSENT)\n",
        ("integration/test_faults.py",),
    ),
    Mutant(
        "failures exit with 0",
        "cli/exit_codes.py",
        "codes.append(ExitCode.SAFETY if safety else ExitCode.PARTIAL)",
        "codes.append(ExitCode.SAFETY if safety else ExitCode.OK)",
        ("unit/test_exit_codes.py", "integration/test_faults.py"),
    ),
    Mutant(
        "state is not flushed",
        "storage/tree.py",
        "                    if durable:\n                        os.fsync(descriptor)\n",
        "",
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the name of a state file is not flushed",
        "storage/tree.py",
        "            if durable:\n                self.sync_directory(os.path.dirname(path))\n",
        "",
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "there is no barrier before the rows",
        "mirror/checkpoint.py",
        "                await self._storage.barrier()\n",
        "",
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the barrier comes after the rows",
        "mirror/checkpoint.py",
        "                await self._storage.barrier()\n"
        "                await self._catalogue.commit(batch)\n",
        "                await self._catalogue.commit(batch)\n"
        "                await self._storage.barrier()\n",
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "there is no barrier after the root page",
        "mirror/publish.py",
        "    await mirror.storage.barrier()\n",
        "",
        ("chaos/test_durability.py", "chaos/test_scenarios.py"),
    ),
    Mutant(
        "a barrier that failed is tried again",
        "storage/filesystem.py",
        "            self._lost = error\n",
        "",
        ("unit/test_filesystem.py", "contract/test_storage.py"),
    ),
    Mutant(
        "what cannot be renamed is copied",
        "storage/tree.py",
        "            os.replace(temporary, path)\n        except FileNotFoundError:",
        "            try:\n                os.replace(temporary, path)\n"
        "            except OSError as error:\n"
        "                if isinstance(error, FileNotFoundError):\n                    raise\n"
        '                __import__("shutil").copyfile(temporary, path)\n'
        "        except FileNotFoundError:",
        ("chaos/test_failing_calls.py", "unit/test_filesystem.py"),
    ),
    Mutant(
        "a key is joined to the root unchecked",
        "storage/tree.py",
        "        if not KEY.fullmatch(key):\n",
        "        if not key:\n",
        ("unit/test_tree.py", "contract/test_storage.py"),
    ),
    Mutant(
        "a path has dots",
        "model/urls.py",
        'any(segment in {"", ".", ".."} for segment in segments)',
        'any(segment == "" for segment in segments)',
        ("unit/test_urls.py",),
    ),
    Mutant(
        "a path is decoded twice",
        "model/urls.py",
        'raise InvalidValue("URL path", raw, "is escaped twice")',
        "path = unquote(path)",
        ("unit/test_urls.py",),
    ),
    Mutant(
        "a link is followed when a file is placed",
        "storage/tree.py",
        "        if link := self._link_above(path, among=self._known):\n",
        "        if link := None:\n",
        ("unit/test_tree.py", "unit/test_filesystem.py"),
    ),
    Mutant(
        "a name is not escaped",
        "simple/html_page.py",
        '        title=f"Links for {escape(display)}",\n',
        '        title=f"Links for {display}",\n',
        ("unit/test_html.py",),
    ),
    Mutant(
        "a reason is not escaped",
        "simple/html_page.py",
        'data-yanked="{escape(file.yanked)}"',
        'data-yanked="{file.yanked}"',
        ("unit/test_html.py",),
    ),
    Mutant(
        "earlier pages are sorted as text",
        "mirror/publish.py",
        "            same_kind.sort(key=_version_time)\n",
        "            same_kind.sort()\n",
        ("integration/test_pages.py",),
    ),
    Mutant(
        "releases are sorted as text",
        "filters/builtin/latest.py",
        "sorted(versions, reverse=True)",
        "sorted(versions, key=str, reverse=True)",
        ("unit/test_filter_latest.py",),
    ),
    Mutant(
        "one look is enough for a removal",
        "mirror/project.py",
        "            return Outcome(wanted, Result.SUSPECTED)\n        seen_twice",
        "            return Outcome(wanted, Result.GONE)\n        seen_twice",
        ("integration/test_removal.py",),
    ),
    Mutant(
        "the second look may come at once",
        "mirror/project.py",
        "seen_twice = self._visit.now - earlier.since >= SECOND_LOOK",
        "seen_twice = True",
        ("integration/test_removal.py", "integration/test_discovery.py"),
    ),
    Mutant(
        "any number of projects may be removed",
        "mirror/removal.py",
        "    if count > limit:\n",
        "    if count > limit and limit < 0:\n",
        ("integration/test_removal.py",),
    ),
    Mutant(
        "all projects may be removed",
        "mirror/removal.py",
        "return min(max(FEWEST_ALLOWED, int(projects * SHARE_ALLOWED)), max(projects - 1, 0))",
        "return max(FEWEST_ALLOWED, int(projects * SHARE_ALLOWED))",
        ("integration/test_removal.py",),
    ),
    Mutant(
        "nothing waits for the grace time",
        "mirror/removal.py",
        "limit = self._now - int(grace.total_seconds())",
        "limit = self._now",
        ("integration/test_removal.py",),
    ),
    Mutant(
        "the root names what is being removed",
        "mirror/removal.py",
        "omit=projects, force",
        "omit=(), force",
        ("integration/test_removal.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "files are removed before the pages that name them",
        "mirror/removal.py",
        "        for each in leaving:\n            await self._move(each.pages)\n",
        "        for each in leaving:\n            await self._move(each.files)\n"
        "            await self._move(each.pages)\n",
        ("chaos/test_scenarios.py", "chaos/test_kill_loop.py"),
    ),
    Mutant(
        "a page is published before its files",
        "mirror/project.py",
        "        files, error = await self._have_files(wanted, record, detail)\n",
        "        await self._publisher.publish(\n"
        "            detail, display=proposed.display, legacy=legacy, anew=False\n"
        "        )\n"
        "        files, error = await self._have_files(wanted, record, detail)\n",
        ("chaos/test_http_answers.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page advertises core metadata before it is there",
        "mirror/files.py",
        "sidecar=found.file.path in stored) for found",
        "sidecar=True) for found",
        ("integration/test_files.py",),
    ),
    Mutant(
        "a digest is not compared",
        "model/content.py",
        "        if actual != expected.sha256:\n",
        "        if not actual:\n",
        ("unit/test_content.py", "integration/test_files.py"),
    ),
    Mutant(
        "a size is not compared",
        "model/content.py",
        "if expected.size is not None and self.size != expected.size:",
        "if expected.size is not None and self.size > expected.size:",
        ("unit/test_content.py", "integration/test_files.py"),
    ),
    Mutant(
        "a body may be longer than announced",
        "model/content.py",
        "return self.largest if self.size is None else self.size",
        "return self.largest",
        ("unit/test_content.py", "unit/test_partial.py", "integration/test_network.py"),
    ),
    Mutant(
        "a file is right because it is there",
        "mirror/files.py",
        '        if hashes.get("sha256") != file.sha256:\n            return None\n',
        "",
        ("integration/test_files.py",),
    ),
    Mutant(
        "a redirect may lead to http",
        "index/transport.py",
        'leads_on = target.scheme in {"https", url.scheme}',
        'leads_on = target.scheme in {"https", "http"}',
        ("integration/test_network.py", "integration/test_faults.py"),
    ),
    Mutant(
        "redirects may lead inside",
        "index/hosts.py",
        "if host not in self._trusted and not self._inside and _is_private(host):",
        "if host not in self._trusted and self._inside and not _is_private(host):",
        ("integration/test_network.py",),
    ),
    Mutant(
        "names may lead inside",
        "index/hosts.py",
        "        elif private and host not in self._trusted and not self._inside:\n",
        "        elif private and not host:\n",
        ("integration/test_network.py",),
    ),
    Mutant(
        "Retry-After is not heard",
        "index/retry.py",
        "        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None\n",
        "        pass\n",
        ("unit/test_retry.py", "integration/test_network.py"),
    ),
    Mutant(
        "only the request that was told to wait waits",
        "index/transport.py",
        "            self._pause(target.authority, error)\n",
        "            pass\n",
        ("chaos/test_http_answers.py", "integration/test_faults.py"),
    ),
    Mutant(
        "a page that is too old is taken",
        "mirror/page.py",
        "serial is None or serial >= wanted.need:",
        "serial is None or serial >= NO_SERIAL:",
        ("integration/test_faults.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page goes back behind what is published",
        "mirror/project.py",
        "        if detail.serial is None or had is None or detail.serial >= had:\n",
        "        if detail.serial is None or had is None or had:\n",
        ("integration/test_faults.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page that lacks files is asked for with its validators",
        "mirror/project.py",
        "        if record is None or incomplete:\n",
        "        if record is None:\n",
        ("chaos/test_scenarios.py", "integration/test_files.py"),
    ),
    Mutant(
        "what was in hand is asked for with its validators",
        "mirror/project.py",
        "        if wanted.handled and not await self._publisher.shows(record):\n"
        "            return Validators()\n",
        "",
        ("chaos/test_scenarios.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a file may change under its name",
        "mirror/project.py",
        "            if now != had:\n",
        "            if not now:\n",
        ("integration/test_files.py", "integration/test_refused.py"),
    ),
    Mutant(
        "a project that lost all its files at once is believed",
        "mirror/project.py",
        "        if record.detail.files and not (detail.files or quarantined or seen):\n",
        "        if record.detail.files and not (detail.files or quarantined or not seen):\n",
        ("integration/test_removal.py", "integration/test_refused.py"),
    ),
    Mutant(
        "a quarantine is not heeded",
        "mirror/project.py",
        "        if detail.status is ProjectStatus.QUARANTINED:\n            detail = ",
        "        if detail.status is ProjectStatus.ARCHIVED:\n            detail = ",
        ("integration/test_removal.py", "integration/test_pages.py"),
    ),
    Mutant(
        "one project that fails stops the others",
        "mirror/executor.py",
        "if reason or (error is not None and self._stop_on_error):",
        "if reason or error is not None:",
        ("integration/test_faults.py",),
    ),
    Mutant(
        "the cursor moves past what was not visited",
        "mirror/run.py",
        "            if visits.complete:\n                compared",
        "            if visits:\n                compared",
        ("integration/test_faults.py", "integration/test_state.py"),
    ),
    Mutant(
        "what is in hand is not written down",
        "mirror/executor.py",
        "            await self._checkpoint.take_up(wanted)\n",
        "",
        ("integration/test_reconcile_faults.py", "integration/test_reconcile_machine.py"),
    ),
    Mutant(
        "todo is gone before status is there",
        "mirror/state.py",
        "        await self._storage.write({STATUS: str(status).encode()}, durable=True)\n"
        "        if finished:\n"
        "            await self._storage.write({}, absent=[TODO], durable=True)\n",
        "        if finished:\n"
        "            await self._storage.write({}, absent=[TODO], durable=True)\n"
        "        await self._storage.write({STATUS: str(status).encode()}, durable=True)\n",
        ("chaos/test_durability.py",),
    ),
    Mutant(
        "temporary files of a killed run stay",
        "storage/filesystem.py",
        "                await self._threads.run(self._clear_temporaries)\n",
        "",
        ("unit/test_filesystem.py", "chaos/test_kill_loop.py"),
    ),
    Mutant(
        "the umask of the caller decides",
        "cli/main.py",
        "    os.umask(_UMASK)",
        "    os.umask(os.umask(_UMASK))",
        ("integration/test_cli.py",),
    ),
    Mutant(
        "a dry run changes the mirror",
        "app.py",
        "    return DryRunStorage(storage), DryRunCatalogue(catalogue)\n",
        "    return storage, DryRunCatalogue(catalogue) if not DryRunStorage else catalogue\n",
        ("integration/test_questions.py", "integration/test_cli.py"),
    ),
    Mutant(
        "a tree is taken over without a look at its files",
        "mirror/adopt.py",
        "if found is None or file.size not in {None, found.size}:",
        "if found is None:",
        ("compat/test_adoption.py",),
    ),
    Mutant(
        "pages are written though they are the same",
        "storage/filesystem.py",
        "                if not self._tree.holds(key, content):\n",
        "                if True:\n",
        ("contract/test_storage.py", "integration/test_pages.py"),
    ),
    Mutant(
        "downloads under way do not count",
        "storage/space.py",
        "                self._free, self._since = free - promised, 0\n",
        "                self._free, self._since = free, 0\n",
        ("unit/test_room.py",),
    ),
    Mutant(
        "a file that has no room is one that failed",
        "mirror/executor.py",
        "        if not isinstance(error, OutOfSpace):\n",
        "        if not self._told_of_room:\n",
        ("chaos/test_storage_faults.py",),
    ),
    Mutant(
        "a rule about one project is not thought of when a list is compared",
        "mirror/run.py",
        "        differing |= mirror.terms.special(found.listing.serials)\n",
        "",
        ("integration/test_reconcile.py",),
    ),
    Mutant(
        "a page that is not listed is believed",
        "mirror/tasks.py",
        "        here = self.had and not self.left_out\n",
        "        here = self.left_out\n",
        ("integration/test_removal.py",),
    ),
    Mutant(
        "a list is compared without its serials",
        "catalogue/sqlite.py",
        "        or reflects.get(name, NO_SERIAL) < serial\n",
        "        or name not in reflects\n",
        ("integration/test_discovery.py", "integration/test_indexes.py"),
    ),
    Mutant(
        "what a killed run changed is told of by nobody",
        "cli/changelist.py",
        "            sink.tell(sink.untold.left())\n",
        "",
        ("chaos/test_change_lists.py",),
    ),
    Mutant(
        "changes are noted when they are made",
        "storage/journal.py",
        "        self._note(served)\n        self.unsettled |= served\n"
        "        try:\n            yield\n",
        "        self.unsettled |= served\n        try:\n            yield\n"
        "            self._note(served)\n",
        ("chaos/test_change_lists.py",),
    ),
    Mutant(
        "a row that makes no sense is believed",
        "catalogue/rows.py",
        "    if not is_key(path):\n",
        "    if not path:\n",
        ("chaos/test_planted.py",),
    ),
    Mutant(
        "what cannot be read has no owner",
        "mirror/verify/run.py",
        "        unknown = [name for name in strangers if name not in self._orders.despite]\n",
        "        unknown: list[ProjectName] = []\n",
        ("integration/test_verify.py",),
    ),
    Mutant(
        "any content is right for verify",
        "mirror/verify/examine.py",
        'return "" if reading.sha256 == digest else f"its',
        'return "" if reading.sha256 else f"its',
        ("integration/test_verify.py",),
    ),
    Mutant(
        "any number of unowned files may go",
        "mirror/verify/run.py",
        "        if count > limit:\n",
        "        if count > limit * 1000:\n",
        ("integration/test_verify.py",),
    ),
)
