"""The C files: compiled without a warning, run against a stand-in for the DMA that answers with the golden model."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from hwgen import flow
from hwgen.graph import golden
from hwgen.projects.baremetal import baremetal_files, element_places
from hwgen.projects.facts import BuildFacts, Facts
from hwgen.simulate.simulation import simulate

from ..shared import model
from .common import design, facts, other, random_frames, written
from .test_pynq import real_facts

CC = next((name for name in ("gcc", "cc", "clang") if shutil.which(name)), None)
pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler is installed")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-ffp-contract=off"]
NETWORKS = pytest.mark.parametrize("name", ["tiny", "two"])

#: Registers of DMAs at made-up addresses. They want to be reset and started before transfers, receivers before the
#: sender, aligned buffers and no transfer on top of another; an error is a status bit, as in hardware. Behind the
#: last DMA is the register with frame_error.
FAKE = """
#include <stdint.h>
#include <stdio.h>
#include <string.h>
static struct { uint32_t registers[24]; int ready[2]; } fake[STREAMS + 1];
static unsigned fake_patience, fake_network = FIRST;
static uint8_t *fake_pointer(unsigned n, unsigned channel)
{
    uint32_t *r = fake[n].registers + channel / 4;
    return (uint8_t *)(uintptr_t)((uint64_t)r[7] << 32 | r[6]);
}
static void fake_fail(unsigned n, unsigned channel) { fake[n].registers[channel / 4 + 1] |= 1u << 4; }
static void fake_move(void)
{
    static const size_t sizes[STREAMS] = { RESULT_SIZES };
    static const uint8_t *const all_known[NETWORKS][STREAMS] = { RESULTS };
    static const uint8_t *const all_frames[NETWORKS] = { INPUTS };
    uint32_t sent = fake[0].registers[10] - HEADER;
    const uint8_t *from = fake_pointer(0, 0) + HEADER, *frames, *const *known;
    size_t count = sent / FRAME, at, k;
    unsigned n;
#if HEADER
    static const uint8_t *const loads[NETWORKS] = { LOADS };
    if (memcmp(from - HEADER, "load", 4) == 0) {
        for (k = 0; k < NETWORKS; k++) {
            if (sent == LOAD && memcmp(from, loads[k], LOAD) == 0) {
                fake_network = (unsigned)k;
                fake[0].registers[1] |= 2u;
                return;
            }
        }
    }
    if (fake_network == NETWORKS || memcmp(from - HEADER, "data", 4) != 0) { fake_fail(0, 0); return; }
#endif
    frames = all_frames[fake_network];
    known = all_known[fake_network];
    if (sent % FRAME != 0) { fake_fail(0, 0); return; }
    for (at = 0; at < count; at++) {
        for (k = 0; k < FRAMES; k++) {
            if (memcmp(from + at * FRAME, frames + k * FRAME, FRAME) == 0) { break; }
        }
        if (k == FRAMES) { printf("unknown frame %u\\n", (unsigned)at); fake_fail(0, 0); return; }
        for (n = 0; n < STREAMS; n++) {
            if (!fake[n].ready[1] || fake[n].registers[22] < (at + 1) * sizes[n]) { fake_fail(n, 0x30); return; }
            memcpy(fake_pointer(n, 0x30) + at * sizes[n], known[n] + k * sizes[n], sizes[n]);
        }
    }
    for (n = 0; n < STREAMS; n++) {
        if (fake[n].registers[22] != count * sizes[n]) { fake_fail(n, 0x30); return; }
        fake[n].ready[1] = 0;
        fake[n].registers[13] |= 2u;
    }
    fake[0].registers[1] |= 2u;
}
static void fake_write(uintptr_t address, uint32_t value)
{
    unsigned n = (unsigned)(address - BASE) / STEP, offset = (unsigned)(address - BASE) % STEP;
    unsigned channel = offset >= 0x30 ? 0x30 : 0;
    fake[n].registers[offset / 4] = value;
    if (offset == channel) {
        if (value & 4u) {
            memset(fake[n].registers, 0, sizeof fake[n].registers);
            fake[n].registers[offset / 4] = 4u;
            fake_patience = 3;
        }
        return;
    }
    if (offset == channel + 0x28) {
        if (!(fake[n].registers[channel / 4] & 1u) || ((uintptr_t)fake_pointer(n, channel) & 3u) || STUCK) { return; }
        fake[n].registers[channel / 4 + 1] &= ~2u;
        fake[n].ready[channel != 0] = 1;
        if (channel == 0) { fake_move(); }
    }
}
static uint32_t fake_read(uintptr_t address)
{
    unsigned n = (unsigned)(address - BASE) / STEP, offset = (unsigned)(address - BASE) % STEP;
    if ((offset == 0 || offset == 0x30) && fake_patience != 0 && --fake_patience == 0) {
        fake[n].registers[offset / 4] &= ~4u;
    }
    return fake[n].registers[offset / 4];
}
#define AXI_DMA_WRITE(address, value) fake_write(address, value)
#define AXI_DMA_READ(address) fake_read(address)
#define AXI_DMA_PATIENCE 1000ul
"""


def array(name, blob):
    return f"static const uint8_t {name}[] = {{ {', '.join(map(str, blob))} }};\n"


def fake(*networks, stuck=0, header=0, loads=(), first=0):
    """``fake.h``, included before everything else: the stand-in, with frames of each network and what it answers to
    them; a first word of ``header`` bytes says which of ``loads`` a transfer holds, if not frames; it has that of
    the ``first`` from the start."""
    inputs, *results = networks[0]
    text = "#include <stdint.h>\n"
    for k, (own, *answers) in enumerate(networks):
        text += array(f"frames_{k}", b"".join(own))
        text += "".join(array(f"known_{k}_{n}", b"".join(result)) for n, result in enumerate(answers))
    text += "".join(array(f"load_{k}", load) for k, load in enumerate(loads))
    sizes, every = ", ".join(str(len(result[0])) for result in results), range(len(networks))
    known = [", ".join(f"known_{k}_{n}" for n in range(len(results))) for k in every]
    values = {
        "STREAMS": len(results), "FRAMES": len(inputs), "FRAME": f"{len(inputs[0])}u", "RESULT_SIZES": sizes,
        "RESULTS": ", ".join(f"{{ {row} }}" for row in known), "BASE": "0x40400000u", "STEP": "0x10000u",
        "STUCK": stuck, "NETWORKS": len(networks), "INPUTS": ", ".join(f"frames_{k}" for k in every), "HEADER": header,
        "FIRST": first, "LOADS": ", ".join(f"load_{k}" for k in every), "LOAD": f"{len(loads[0]) if loads else 0}u",
    }  # fmt: skip
    return text + "".join(f"#define {key} {value}\n" for key, value in values.items()) + FAKE


def compiled(folder, source, *flags):
    done = subprocess.run(
        [CC, *FLAGS, *flags, "-o", "program", source, "-lm"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def run(folder, status=0):
    done = subprocess.run(["./program"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@NETWORKS
def test_the_example_passes_against_the_golden_model(tmp_path, name):
    folder = written(tmp_path, "baremetal", name)
    compiled(folder, "main.c")  # as it is for the board
    (folder / "fake.h").write_text(fake(facts(name).blobs))
    compiled(folder, "main.c", "-include", "fake.h")
    assert run(folder) == f"PASS {name}: 2 frames\n"


@pytest.mark.slow
def test_the_example_passes_where_weights_are_loaded(tmp_path):
    folder, given = written(tmp_path, "baremetal", "loadable"), facts("loadable")
    compiled(folder, "main.c")
    (folder / "fake.h").write_text(fake(given.blobs, header=given.header_bytes, loads=[given.image]))
    compiled(folder, "main.c", "-include", "fake.h")
    assert run(folder) == "PASS loadable: 2 frames\n"


def test_the_example_loads_what_waits_for_it(tmp_path):
    """Weights in large RAM, which is empty at power-up."""
    given = BuildFacts(design("waiting"))
    for file, text in baremetal_files(given).items():
        (tmp_path / file).write_text(text)
    compiled(tmp_path, "main.c")
    assert "Before the first load the accelerator has no weights." in (tmp_path / "waiting.h").read_text()
    text = "#define WAITING_DMA_0 0x40400000u\n"
    text += fake(given.blobs, header=given.header_bytes, loads=[given.image], first=1)
    (tmp_path / "fake.h").write_text(text)
    compiled(tmp_path, "main.c", "-include", "fake.h")
    assert run(tmp_path) == "PASS waiting: 2 frames\n"


LOADING = """
#include "loadable.h"
#include "other.h"
#include "axi_dma.h"
#define CHECK(number, wanted) if ((number) != (wanted)) { printf("line %d: %d\\n", __LINE__, (int)(number)); return 1; }
static uint8_t transfer[OTHER_HEADER_BYTES + sizeof load_0 + sizeof frames_0] __attribute__((aligned(64)));
static uint8_t result_0[sizeof known_0_0] __attribute__((aligned(64)));
static uint8_t result_1[sizeof known_0_1] __attribute__((aligned(64)));
int main(void)
{
    struct axi_dma dma = { { BASE, BASE + STEP }, 2, { 0 }, { 0 } };
    const struct loadable_link link = { &dma, axi_dma_expect, axi_dma_send, axi_dma_finish };
    const struct other_link same = { &dma, axi_dma_expect, axi_dma_send, axi_dma_finish };
    uint8_t *const results[2] = { result_0, result_1 }, *const room = transfer + LOADABLE_HEADER_BYTES;
    int n;
    CHECK(axi_dma_start(&dma), 0)
    for (n = 0; n < 2; n++) {
        memcpy(room, frames_0, sizeof frames_0);
        CHECK(loadable_run(&link, transfer, FRAMES, results), 0)
        CHECK(memcmp(result_0, known_0_0, sizeof result_0) | memcmp(result_1, known_0_1, sizeof result_1), 0)
        memcpy(room, load_1, sizeof load_1);
        CHECK(other_load(&same, transfer, OTHER_LOAD_BYTES - 1), OTHER_WRONG_LENGTH)
        CHECK(other_load(&same, transfer, sizeof load_1), 0)
        memcpy(room, frames_1, sizeof frames_1);
        CHECK(other_run(&same, transfer, FRAMES, results), 0)
        CHECK(memcmp(result_0, known_1_0, sizeof result_0) | memcmp(result_1, known_1_1, sizeof result_1), 0)
        memcpy(room, load_0, sizeof load_0);
        CHECK(loadable_load(&link, transfer, sizeof load_0), 0)
    }
    room[0] ^= 1u;
    CHECK(loadable_load(&link, transfer, sizeof load_0), AXI_DMA_FAILED)
    return 0;
}
"""


def test_a_program_that_loads_two_networks_in_turn(tmp_path):
    folder, given = written(tmp_path, "baremetal", "loadable"), facts("loadable")
    made, header = Facts(other()), other().files()["other.h"]
    assert given.blobs[1:] != made.blobs[1:]
    (folder / "other.h").write_bytes(header)
    loads = [given.image, made.image]
    (folder / "fake.h").write_text(fake(given.blobs, made.blobs, header=given.header_bytes, loads=loads))
    (folder / "loading.c").write_text(LOADING)
    compiled(folder, "loading.c", "-include", "fake.h")
    run(folder)
    check_conversions(folder, Facts(replace(made.made, name="other")), random_frames(3, "loadable"))


def test_the_example_finds_a_frame_error(tmp_path):
    folder = written(tmp_path, "baremetal")
    text = fake(facts().blobs).replace("fake[STREAMS + 1];", "fake[STREAMS + 1] = { [STREAMS] = { { 1u }, { 0 } } };")
    (folder / "fake.h").write_text(text)
    compiled(folder, "main.c", "-include", "fake.h")
    assert run(folder, 1) == "FAIL tiny: frame_error is raised\n"


@NETWORKS
def test_the_example_finds_a_wrong_result(tmp_path, name):
    folder = written(tmp_path, "baremetal", name)
    inputs, *results = facts(name).blobs
    wrong = [[bytes([blob[0] ^ 1]) + blob[1:] for blob in result] for result in results]
    (folder / "fake.h").write_text(fake([inputs, *wrong]))
    compiled(folder, "main.c", "-include", "fake.h")
    assert run(folder, 1).startswith(f"FAIL {name}: wrong results at m_axis")


def test_a_dma_that_fails_or_never_ends_is_said_so(tmp_path):
    folder = written(tmp_path, "baremetal")
    inputs, *results = facts().blobs
    other = [bytes([blob[0] ^ 1]) + blob[1:] for blob in inputs]
    for blobs, stuck, code in (([other, *results], 0, -2), ([inputs, *results], 1, -3)):
        (folder / "fake.h").write_text(fake(blobs, stuck=stuck))
        compiled(folder, "main.c", "-include", "fake.h")
        assert run(folder, 1).endswith(f"FAIL tiny: the DMA stopped with {code}\n")


def numbers(values):
    return ", ".join(f"{float(value).hex()}f" for value in np.asarray(values, np.float32).reshape(-1))


HARNESS = """
#include <stdio.h>
#include "{name}.h"
static const float given[] = {{ {given} }};
{arrays}
int main(void)
{{
    static uint8_t frame[{prefix}_FRAME_BYTES];
    size_t at, n;
    for (n = 0; n < sizeof given / sizeof *given / {prefix}_FRAME_ELEMENTS; n++) {{
        {quantise}
        for (at = 0; at < sizeof frame; at++) {{ printf("%u\\n", frame[at]); }}
    }}
    {results}
    return 0;
}}
"""


def converted(folder, given, frames, tensors):
    """What the header's functions make: the bytes of ``frames``, and every result of the integers ``tensors``."""
    network, top, name = given.made.network, given.made.component, given.made.name
    arrays, results, wanted = "", "", []
    blobs = {
        s.name: port.words(tensors[s.name]).rows.tobytes() for s, port in zip(network.results, top.results, strict=True)
    }
    for n, stream in enumerate(network.results):
        arrays += array(f"result_{n}", blobs[stream.name])
    names = [stream.name for stream in network.results]
    for output in network.outputs:
        if output.function is not None:
            continue
        stream, size = names.index(output.streams[0].name), int(np.prod(output.shape))
        label = re.search(
            rf"void {name}_result_(\w+)\(", (folder / f"{name}.h").read_text().partition(f"Result '{output.name}'")[2]
        )[1]
        kind, form = ("int64_t", '"%lld\\n", (long long)') if output.integer else ("float", '"%a\\n", (double)')
        results += f"""{{ static {kind} values[{size}];
        for (n = 0; n < {len(frames)}; n++) {{
            {name}_result_{label}(result_{stream} + n * {name.upper()}_STREAM_{stream}_BYTES, values);
            for (at = 0; at < {size}; at++) {{ printf({form}values[at]); }}
        }} }}\n"""
        wanted.append(output)
    text = HARNESS.format(
        name=name, prefix=name.upper(), given=numbers(frames), arrays=arrays, results=results,
        quantise=f"for (at = 0; at < {name.upper()}_FRAME_ELEMENTS; at++) {{ "
        f"{name}_put(frame, at, (int64_t)given[n * {name.upper()}_FRAME_ELEMENTS + at]); }}"
        if network.integer_input else
        f"{name}_quantise(given + n * {name.upper()}_FRAME_ELEMENTS, frame);",
    )  # fmt: skip
    (folder / "harness.c").write_text(text)
    compiled(folder, "harness.c")
    lines = run(folder).split()
    count = len(frames) * top.source.frame_bytes
    return bytes(map(int, lines[:count])), lines[count:], wanted


def check_conversions(folder, given, frames):
    network = given.made.network
    x = golden.network_input(network, frames)
    tensors = golden.run(network, x, [stream.name for stream in network.results]) | {network.input.name: x}
    packed, values, outputs = converted(folder, given, frames, tensors)
    assert packed == given.made.component.source.words(x).rows.tobytes()
    expected = simulate(network, None, frames).results
    for output in outputs:
        want = expected[output.name].reshape(-1)
        got, values = values[: want.size], values[want.size :]
        assert [int(v) if output.integer else float.fromhex(v) for v in got] == want.tolist()
    assert not values


@pytest.mark.parametrize("name", ["tiny", "two", "narrow", "clipped"])
def test_quantisation_and_results_are_those_of_simulate(tmp_path, name):
    folder = written(tmp_path, "baremetal", name)
    check_conversions(folder, facts(name), random_frames(4, name))


@pytest.mark.parametrize(
    "name",
    [
        "resnet8_cifar10_int8.tf2onnx.onnx",
        "resnet20_cifar10.brevitas_w8a8_float_qcdq.onnx",
        "gtsrb_cnn_12x12_w2a3.onnx",
    ],
)
def test_real_networks(tmp_path, name):
    front = flow.quantised(model(name), warn=lambda line: None)
    given = real_facts(front, tensors=golden_tensors(front))
    for file, text in baremetal_files(given).items():
        (tmp_path / file).write_text(text)
    compiled(tmp_path, "main.c")
    check_conversions(tmp_path, given, front.samples)


def golden_tensors(front):
    network = front.network
    x = golden.network_input(network, front.samples)
    return {network.input.name: x} | golden.run(network, x, [stream.name for stream in network.results])


def test_places_of_a_map_are_channels_first():
    output = facts("two").made.network.outputs[0]
    assert output.shape == (4, 4, 4)
    assert element_places(output)[:5].tolist() == [0, 4, 8, 12, 16]
