"""What the harness reckons, without a server: `python3 -m pytest benches/harness/tests.py`."""

import socket
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import cluster, cluster_rooms, command, counts, hold, load, memory  # noqa: E402
from harness import million, outcome, plot, report, scenarios, slow  # noqa: E402
from harness.failure import Failure  # noqa: E402
from harness.load import Run  # noqa: E402
from harness.table import Table  # noqa: E402


def run(rate: float, cpu: float, server: float = 0.99, load: float = 0.8) -> Run:
    return Run(rate, cpu, cpu / 2, server, load, 0.0, {})


def results(**runs: Run) -> report.Results:
    found = report.Results(scenarios.by_names(["echo-64"])[0])
    for server, one in runs.items():
        found.add(server, 0, one)
    return found


class Command(unittest.TestCase):
    def test_without_a_command_compare_is_meant(self):
        self.assertEqual(command._with_command([]), ["compare"])
        self.assertEqual(command._with_command(["--quick"]), ["compare", "--quick"])
        self.assertEqual(command._with_command(["idle", "--quick"]), ["idle", "--quick"])
        self.assertEqual(command._with_command(["--help"]), ["--help"])
        # A word that is no command is for the parser to refuse.
        self.assertEqual(command._with_command(["idel"]), ["idel"])

    def test_every_command_parses_its_defaults(self):
        for name in command.COMMANDS:
            self.assertEqual(command._parser().parse_args([name]).command, name)


class Memory(unittest.TestCase):
    def test_half_of_the_growth_is_the_servers_but_for_what_one_end_alone_has(self):
        growth = {"TCP": 100, "io_kiocb": 100, "eventpoll_epi": 100}
        uring = memory.server_share(growth, "uring", "epoll")
        self.assertEqual(uring, {"TCP": 50, "io_kiocb": 100, "eventpoll_epi": 0})
        epoll = memory.server_share(growth, "epoll", "epoll")
        self.assertEqual((epoll["TCP"], epoll["eventpoll_epi"]), (50, 50))

    def test_growth_leaves_out_what_earlier_connections_left_behind(self):
        before = memory.KernelMemory({"TCP": 10, "tw_sock_TCP": 500})
        after = memory.KernelMemory({"TCP": 30, "filp": 40, "tw_sock_TCP": 0})
        self.assertEqual(list(after.growth(before).items()), [("filp", 40), ("TCP", 20)])

    def test_this_host_can_be_read(self):
        self.assertGreater(memory.available_bytes(), 0)
        self.assertGreater(sum(memory.KernelMemory.read().caches.values()), 0)


class Needs(unittest.TestCase):
    def test_what_no_host_holds_is_refused_with_the_remedy(self):
        with self.assertRaisesRegex(Failure, "ulimit -Hn"):
            hold.shards_for(10**12)

    def test_little_is_not_refused(self):
        self.assertIn("1 shards", million.require(10))


class Counts(unittest.TestCase):
    def test_a_tenth_more_or_less_is_let_pass_and_not_beyond(self):
        for now, is_bad in ((1000, False), (1100, False), (1101, True), (900, False), (899, True)):
            self.assertEqual(counts._compare({"a": 1000}, {"a": now}).invalid, is_bad, now)

    def test_what_only_one_side_knows_is_bad(self):
        self.assertTrue(counts._compare({"a": 1}, {}).invalid)
        found = counts._compare({}, {"a": 1})
        self.assertTrue(found.invalid)
        self.assertIn(counts.UPDATE, found.words[0])


class Report(unittest.TestCase):
    def test_where_the_load_was_the_busier_cpu_time_decides(self):
        found = results(engine=run(100, 5), floor=run(110, 4))
        self.assertEqual(found.reached("floor"), (100 / 110, "rate"))
        found = results(engine=run(100, 5, 0.7, 0.9), floor=run(110, 4))
        self.assertEqual(found.reached("floor"), (4 / 5, "CPU time"))

    def test_a_share_that_is_missed_is_called_so(self):
        table = report.wanted([results(engine=run(80, 5), floor=run(100, 4))])
        self.assertEqual(table.rows[0][-1], "MISSED")

    def test_the_picture_is_xml_and_has_a_bar_for_each_ratio(self):
        text = plot.ratios([results(engine=run(100, 5), floor=run(110, 4), uws=run(1, 1000))])
        titles = [element.text for element in ElementTree.fromstring(text).iter() if element.tag.endswith("title")]
        self.assertEqual(titles, ["floor: 0.91", "uws: 100.00", "floor: 1.25", "uws: 0.01"])


class Slow(unittest.TestCase):
    def outcome(
        self, with_stuck: list[float], faults: dict[str, int], doubts: tuple[str, ...] = ()
    ) -> outcome.Outcome:
        options = command._parser().parse_args(["slow", "--policies", "drop_oldest"])
        rounds = {
            False: [slow.Round(1.0, 4.0, 9.0, 1e5, 0, 0, {}, [])] * 3,
            True: [slow.Round(1.0, p99, 9.0, 1e5, 0, 70, faults, list(doubts)) for p99 in with_stuck],
        }
        return slow.outcome(options, {"drop_oldest": rounds}, [])

    def test_the_median_of_the_rounds_is_held_against_what_is_wanted(self):
        good = self.outcome([4.9, 5.0, 90.0], {})
        self.assertEqual(good.status, 0)
        self.assertEqual(good.document["drop_oldest"]["p99_ratio"], 1.25)
        bad = self.outcome([4.9, 5.1, 5.2], {})
        self.assertEqual(bad.status, 1)
        self.assertIn("MISSED", bad.text())

    def test_a_loss_of_those_who_read_makes_it_invalid(self):
        lost = self.outcome([4.0, 4.0, 4.0], {"lost": 1})
        self.assertEqual(lost.status, 1)
        self.assertIn("INVALID: lost", lost.text())

    def test_what_the_load_generator_calls_invalid_is_invalid(self):
        doubted = self.outcome([4.0, 4.0, 4.0], {}, ("the schedule was not kept: late",))
        self.assertEqual(doubted.status, 1)
        self.assertIn("INVALID: 3 of 3 rounds, the schedule was not kept: late", doubted.text())

    def test_a_round_has_what_the_load_generator_says_of_itself(self):
        options = command._parser().parse_args(["slow"])
        latency = dict.fromkeys(("p50", "p99", "max"), 1000)
        report_ = {"latency_microseconds": latency, "messages_per_second": 1.0, "valid": False}
        for because, wanted in ((["it was late"], ["it was late"]), ([], [load.NO_REASON])):
            generator = unittest.mock.MagicMock()
            generator.__enter__.return_value.result.return_value = report_ | {"invalid_because": because}
            with (
                unittest.mock.patch.object(slow, "kind_of"),
                unittest.mock.patch.object(slow, "RunningServer"),
                unittest.mock.patch.object(slow, "_words"),
                unittest.mock.patch.object(slow, "Generator", return_value=generator),
            ):
                found = slow._round(options, Path("."), "drop_oldest", False)
            self.assertEqual(found.doubts, wanted)

    def test_one_member_is_stuck_or_none(self):
        options = command._parser().parse_args(["slow", "--members", "777"])
        server = unittest.mock.Mock()
        server.url = lambda path: path
        words = slow._words(options, server, True)
        share = float(words[words.index("--slow-share") + 1])
        self.assertEqual(round(share * 778), 1)
        words = slow._words(options, server, False)
        self.assertEqual(float(words[words.index("--slow-share") + 1]), 0)


class Generator(unittest.TestCase):
    def test_where_nobody_may_go_first_it_runs_all_the_same(self):
        words = [sys.executable, "-c", "print('{}')"]
        with unittest.mock.patch("os.setpriority", side_effect=PermissionError):
            with load.Generator(words, Path("."), 0, urgency=10) as generator:
                self.assertEqual(generator.result(30), {})


class Cluster(unittest.TestCase):
    def throughput(self, clustered: float) -> outcome.Outcome:
        options = command._parser().parse_args(["cluster"])
        found = outcome.Outcome()
        cluster.show_throughput(options, found, {"floor": [100.0], "bare": [200.0], "cluster": [clustered]})
        return found

    def test_a_rate_below_what_is_wanted_is_missed(self):
        self.assertEqual(self.throughput(70.0).status, 0)
        self.assertNotIn("MISSED", self.throughput(70.0).text())
        self.assertEqual(self.throughput(69.0).status, 1)
        self.assertIn("MISSED", self.throughput(69.0).text())

    def rooms(self, bytes_each: int) -> outcome.Outcome:
        options = command._parser().parse_args(["cluster", "--rooms", "10"])
        alone = {"bytes": 1_000, "connect_seconds": 1.0}
        names = ("connect_seconds", "known_seconds", "subscriptions", "connected_seconds", "subscribed_seconds")
        found = outcome.Outcome()
        cluster_rooms.show(options, found, alone, dict.fromkeys(names, 1) | {"bytes": 1_000 + 10 * bytes_each})
        return found

    def test_a_room_that_takes_more_than_is_wanted_is_missed(self):
        self.assertEqual(self.rooms(1_024).status, 0)
        self.assertEqual(self.rooms(1_025).status, 1)
        self.assertIn("MISSED", self.rooms(1_025).text())

    def latencies(self, lost: int | None) -> list[list[float]]:
        """Five messages to two members, of which the second one misses one."""
        options = command._parser().parse_args(["cluster", "--rate", "1000", "--seconds", "0.005"])
        pairs = [socket.socketpair() for _ in range(2)]
        sent = 0

        def pass_on(frame: bytes) -> None:
            nonlocal sent
            for index, (server, _) in enumerate(pairs):
                if (index, sent) != (1, lost):
                    server.sendall(bytes([0x82, 16]) + frame[-16:])
            sent += 1
            if sent == 5:
                for server, _ in pairs:
                    server.close()

        sender = unittest.mock.Mock(sendall=pass_on)
        try:
            with unittest.mock.patch.object(cluster, "DEADLINE_SECONDS", 5.0):
                return cluster.latencies(sender, [member for _, member in pairs], options)
        finally:
            for _, member in pairs:
                member.close()

    def test_latency_of_messages_that_did_not_all_come_is_none(self):
        self.assertEqual([len(of) for of in self.latencies(None)], [5, 5])
        with self.assertRaisesRegex(Failure, "4 of 5 messages"):
            self.latencies(2)


class Outcome(unittest.TestCase):
    FACTS = dict.fromkeys(("cpu", "cores_and_memory", "kernel", "commit", "at", "command"), "x")

    def test_a_section_is_replaced_and_the_others_stay(self):
        def found(word: str) -> outcome.Outcome:
            return outcome.Outcome(tables=[Table("t", ("a",), rows=[(word,)])])

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "RESULTS.md"
            for section, word in (("one", "first"), ("two", "second"), ("one", "third")):
                outcome.write_markdown(path, section, found(word), self.FACTS)
            text = path.read_text()
        self.assertTrue("first" not in text and "second" in text and "third" in text)
        self.assertLess(text.index("third"), text.index("second"))

    def test_a_section_without_an_end_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "RESULTS.md"
            path.write_text("<!-- begin one -->")
            with self.assertRaisesRegex(Failure, "end one"):
                outcome.write_markdown(path, "one", outcome.Outcome(), self.FACTS)


if __name__ == "__main__":
    unittest.main()
