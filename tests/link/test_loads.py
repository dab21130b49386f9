"""Weights over the link: loads and frames in one stream, with the real host code and the simulated hardware."""

import json
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

import hwgen
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.graph import golden
from hwgen.link.capacity import frame_bytes
from hwgen.link.host import LinkError, Session
from hwgen.link.identity import identity
from hwgen.link.messages import Loads, Messages, held_by, load_message
from hwgen.link.protocol import HELD_BYTES, Hello, Message
from hwgen.link.runner import Runner
from hwgen.tools.verilator import QUICK
from hwgen.top.loading import laid_out, plan_text
from tests.link.simulated import Noisy, SimulatedLine, running, simulated_board
from tests.top.test_loading import retrain

from .. import tiny
from .test_bad_line import BUFFERS, CYCLES, GIVE_UP


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    model = tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx", nodes=[])
    return hwgen.compile(model, calibration=tiny.frames(), multipliers=8, weights="loadable")


@pytest.fixture(scope="module")
def plans(design):
    """The hardware with its own weights and with those of two other networks."""
    fixed = hwgen.compile(design.front.model, calibration=tiny.frames(), multipliers=8).network
    others = [laid_out(retrain(fixed, seed), plan_text(design.plan), "build") for seed in (50, 90)]
    return [design.plan, *others]


@pytest.fixture(scope="module")
def hardware(design):
    return simulated_board(design, BUFFERS, CYCLES, QUICK)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((100, 1, 8, 8), np.float32)


def line(running):
    return SimulatedLine(running, cycles=CYCLES)


def check(runner, plan, frames):
    """What comes is what golden makes of ``frames`` with the constants of ``plan``."""
    result = runner.simulate(frames)
    network = plan.network
    expected = golden.run(network, golden.network_input(network, frames))[network.output.name]
    np.testing.assert_array_equal(result.integers, expected)
    assert result.equal
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.01], ids=["good line", "bad line"])
def test_load_infer_load_another_infer(hardware, plans, frames, share):
    with running(hardware) as run:
        noisy = Noisy(line(run), share, seed=3)
        runner = Runner(plans[0], noisy, Session(noisy, give_up=GIVE_UP))
        assert runner.loaded == 0  # it has them from the bitstream
        seen = [check(runner, plans[0], frames[:40])]
        for n in (1, 2, 0):
            assert runner.load(plans[n]) == len(load_message(plans[n]))
            seen.append(check(runner, plans[n], frames[:40]))
    assert noisy.corrupted > 20 or not share
    np.testing.assert_array_equal(seen[0], seen[3])
    assert (seen[0] != seen[1]).any()
    assert (seen[1] != seen[2]).any()


@pytest.mark.slow
def test_a_board_is_asked_what_it_holds_and_only_given_what_it_does_not(hardware, plans, frames):
    with running(hardware) as run:
        link = line(run)
        assert Runner(plans[1], link, Session(link, give_up=GIVE_UP)).loaded
        run.run(1000)  # what was taken is in the board's buffer
        runner = Runner(plans[1], link, Session(link, give_up=GIVE_UP))  # resets the accelerator, not its weights
        assert runner.loaded == 0
        assert runner.load(plans[1]) == 0
        check(runner, plans[1], frames[:3])
        assert runner.session.hello.held == held_by(plans[1].load_image())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_a_load_that_is_cut_off_leaves_nothing_to_rely_on(hardware, plans, frames, share):
    with running(hardware) as run:
        link = line(run)
        message = load_message(plans[1])
        Session(link, give_up=GIVE_UP).run(message[: max(2, int(share * len(message)))], 0)
        run.run(10_000)
        runner = Runner(plans[0], link, Session(link, give_up=GIVE_UP))
        assert not runner.session.hello.held[0] & 1
        assert runner.loaded
        check(runner, plans[0], frames[:3])


def test_frames_without_weights_are_refused_in_one_line(hardware, design, plans):
    with running(hardware) as run:
        session = Session(line(run), give_up=GIVE_UP)
        said = "the simulation takes its weights over the link, and frames only after them: name the folder of its bu"
        with pytest.raises(LinkError, match=said) as error:
            Runner(design.network, None, session)
        assert len(error.value.problems) == 1


def test_weights_for_other_hardware_are_refused(hardware, design, frames):
    other = hwgen.compile(design.front.model, calibration=tiny.frames(), multipliers=4, weights="loadable")
    assert identity(other.plan) != identity(design.plan)
    with running(hardware) as run, pytest.raises(LinkError, match="holds another design"):
        Runner(other.plan, None, Session(line(run), give_up=GIVE_UP))


def test_hardware_is_known_again_whatever_its_weights_are(design, plans):
    assert len({identity(plan) for plan in plans}) == 1
    assert len({held_by(plan.load_image()) for plan in plans}) == 3
    assert frame_bytes(design.component)[0] == 1 + 64


def test_a_greeting_says_which_weights_are_held():
    hello = Hello(0x1234, b"designed", held=b"held")
    assert len(hello.packed()) == Hello.SIZE + HELD_BYTES
    assert Hello.read(hello.packed()) == hello


def take_apart(content: bytes, loads: Loads, beats: int):
    """What :class:`Messages` makes of ``content`` with beats of a byte: (byte, load, last); and what is held then."""
    messages, seen = Messages(beats, loads), []

    async def bench(ctx):
        waiting, full = list(content), None
        for _ in range(20 * len(content) + 20 * loads.settle):
            ctx.set(messages.full, full is not None)
            ctx.set(messages.step, full is not None)
            ctx.set(messages.o.ready, 1)
            ctx.set(messages.i.valid, bool(waiting))
            ctx.set(messages.i.payload, waiting[0] if waiting else 0)
            if full is not None:
                seen.append((full, ctx.get(messages.load), ctx.get(messages.last)))
            full = ctx.get(messages.o.payload) if ctx.get(messages.o.valid) else None
            if waiting and ctx.get(messages.i.ready):
                waiting.pop(0)
            await ctx.tick()
        seen.append(ctx.get(messages.held).to_bytes(HELD_BYTES, "little"))

    simulator = Simulator(messages)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen[:-1], seen[-1]


def test_units_are_taken_apart():
    loads = Loads(3, settle=5, held=b"\1abc")
    frame, load = bytes((Message.FRAME, 10, 11)), bytes((Message.LOAD, 20, 21, 22)) + b"\3xyz"
    expected = [(10, 0, 0), (11, 0, 1)]
    assert take_apart(frame + frame, loads, 2) == (expected * 2, b"\1abc")
    loaded = [(20, 1, 0), (21, 1, 0), (22, 1, 1)]
    assert take_apart(frame + load + frame, loads, 2) == (expected + loaded + expected, b"\3xyz")
    for cut in range(1, 4):
        bytes_, held = take_apart(load[:-cut], replace(loads, settle=2), 2)
        assert bytes_ == loaded
        assert not held[0] & 1


def test_the_identity_does_not_depend_on_names(design):
    text = json.loads(plan_text(design.plan))
    text["layers"][0]["name"], text["network"] = "other", "another"
    network = design.network
    renamed = replace(network, layers=(replace(network.layers[0], name="other"), *network.layers[1:]))
    assert identity(parse_plan(renamed, json.dumps(text))) == identity(design.plan)
