// Runs a design that Verilator compiled: sources, sinks and watches around it, a cycle at a time, called from Python.
// INPUTS, OUTPUTS and WATCHES, defined in front of this, list its streams, and MEMORIES its ports towards memories.
#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

// Payloads lie in Python's arrays as in Verilator's ports: little-endian, in whole words of 32 bits.
struct Stream {
  uint8_t *beats = nullptr;
  int64_t *cycles = nullptr;
  int64_t size = 0, count = 0, at = 0;
  bool offering = false, held = false, seen = false;
  std::vector<uint8_t> offered;

  bool full() const { return at >= count; }
  template <class Payload> void keep(const Payload &payload, int64_t cycle) {
    if (full()) return;
    std::memcpy(beats + at * size, &payload, sizeof(payload));
    cycles[at++] = cycle;
  }
};

#if VM_TRACE
// Verilator ends the program where a file takes no more, or waits for ever for a lock that it has itself. So nothing
// is said to it; `failed` keeps the reason.
struct WavesFile : VerilatedVcdFile {
  int failed = 0;
  ssize_t write(const char *from, ssize_t size) override {
    if (failed) return size;
    const ssize_t written = VerilatedVcdFile::write(from, size);
    if (written >= 0 || errno == EAGAIN || errno == EINTR) return written;
    failed = errno;
    return size;
  }
};
#endif

struct Simulation {
  VerilatedContext context;
  Vtop top{&context};
  std::vector<Stream> sources, sinks, watches;
  std::vector<Memory> memories;
  uint64_t random = 0;
  int64_t cycle = 0, broken = -1;

#if VM_TRACE
  WavesFile file;
  VerilatedVcdC waves{&file};
  int64_t first = 0, last = -1;
  void dump(int64_t half) {
    if (cycle >= first && cycle <= last) waves.dump(uint64_t(2 * cycle + half));
  }
#else
  void dump(int64_t) {}
#endif

  bool chance(unsigned of_100) {  // xorshift64
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return random % 100 < of_100;
  }

  template <class Valid, class Payload> void offer(Stream &stream, Valid &valid, Payload &payload) {
    stream.offering = !stream.full() && (stream.offering || !random || chance(60));
    valid = stream.offering;
    if (stream.offering) std::memcpy(&payload, stream.beats + stream.at * stream.size, sizeof(payload));
  }
  void sample_source(Stream &stream, bool ready) {
    if (!stream.offering || !ready) return;
    stream.cycles[stream.at++] = cycle;
    stream.offering = false;
  }
  template <class Ready> void accept(Stream &stream, Ready &ready) { ready = !random || (stream.seen && chance(50)); }
  template <class Payload> void sample_sink(Stream &stream, bool valid, const Payload &payload, bool ready) {
    if (stream.held && (!valid || std::memcmp(stream.offered.data(), &payload, sizeof(payload)))) broken = cycle;
    stream.held = valid && !ready;
    const auto *data = reinterpret_cast<const uint8_t *>(&payload);
    if (stream.held) stream.offered.assign(data, data + sizeof(payload));
    stream.seen |= valid;
    if (valid && ready) stream.keep(payload, cycle);
  }

  const Memory *faulty() const {
    for (const Memory &memory : memories) if (!memory.fault.empty()) return &memory;
    return nullptr;
  }

  bool done() const {
    for (const Stream &stream : sinks) if (!stream.full()) return false;
    for (const Stream &stream : watches) if (!stream.full()) return false;
    return true;
  }

  void tick() {
#define X(n, valid, payload, ready) offer(sources[n], top.valid, top.payload);
    INPUTS(X)
#undef X
#define X(n, valid, payload, ready) accept(sinks[n], top.ready);
    OUTPUTS(X)
#undef X
#define X(n, port)                                                                                                 \
  memories[n].drive(cycle, top.port##___05Far___05Fvalid, top.port##___05Far___05Fpayload,                          \
                    top.port##___05Far___05Fready, top.port##___05Fr___05Fvalid, top.port##___05Fr___05Fpayload,     \
                    top.port##___05Fpage, top.port##___05Fgo);
    MEMORIES(X)
#undef X
    top.clk = 0;
    top.eval();
    dump(0);
#define X(n, valid, payload, ready) sample_source(sources[n], top.ready);
    INPUTS(X)
#undef X
#define X(n, valid, payload, ready) sample_sink(sinks[n], top.valid, top.payload, top.ready);
    OUTPUTS(X)
#undef X
#define X(n, moves, payload) if (top.moves) watches[n].keep(top.payload, cycle);
    WATCHES(X)
#undef X
#define X(n, port)                                                                                                 \
  memories[n].sample(cycle, top.port##___05Far___05Fvalid, top.port##___05Far___05Fpayload,                         \
                     top.port##___05Far___05Fready, top.port##___05Fr___05Fready);                                 \
  memories[n].late = top.port##___05Flate, memories[n].error = top.port##___05Ferror;
    MEMORIES(X)
#undef X
    top.clk = 1;
    top.eval();
    dump(1);
    ++cycle;
  }
};

}  // namespace

extern "C" {

// `contents` is the folder with the files of memories, which are read here.
Simulation *hwgen_create(int sources, int sinks, int watches, int memories, uint64_t seed, const char *contents) {
  auto *simulation = new Simulation;
#if VM_TRACE
  simulation->context.traceEverOn(true);
#endif
  const std::string option = std::string("+contents=") + contents;
  const char *arguments[] = {"hwgen", option.c_str()};
  simulation->context.commandArgs(2, arguments);
  simulation->sources.resize(sources);
  simulation->sinks.resize(sinks);
  simulation->watches.resize(watches);
  simulation->memories.resize(memories);
  simulation->random = seed ? seed * 0x9E3779B97F4A7C15u | 1 : 0;
  simulation->top.rst = 0;
  simulation->top.clk = 0;
  simulation->top.eval();
  return simulation;
}

void hwgen_destroy(Simulation *simulation) {
#if VM_TRACE
  if (simulation->waves.isOpen()) simulation->waves.close();
#endif
  delete simulation;
}

#if VM_TRACE
// Waveforms of `count` cells (all if 0) in a range of cycles, in a VCD file.
void hwgen_trace(Simulation *simulation, const char *path, int64_t first, int64_t last, const char **cells, int count) {
  simulation->first = first, simulation->last = last;
  for (int n = 0; n < count; ++n) simulation->waves.dumpvars(99, std::string("TOP.top.") + cells[n]);
  simulation->top.trace(&simulation->waves, 99);
  simulation->waves.open(path);
}

// Ends the file, unless it is `open` on, and says why it is not whole: an errno, or 0.
int hwgen_trace_failed(Simulation *simulation, int open) {
  if (!open && simulation->waves.isOpen()) simulation->waves.close();
  return simulation->file.failed;
}
#endif

// kind: 0 source, 1 sink, 2 watch
void hwgen_stream(Simulation *simulation, int kind, int n, uint8_t *beats, int64_t size,
                  int64_t *cycles, int64_t count) {
  Stream &stream = (kind == 0 ? simulation->sources : kind == 1 ? simulation->sinks : simulation->watches)[n];
  stream.beats = beats, stream.size = size, stream.cycles = cycles, stream.count = count;
}

int64_t hwgen_moved(Simulation *simulation, int kind, int n) {
  return (kind == 0 ? simulation->sources : kind == 1 ? simulation->sinks : simulation->watches)[n].at;
}

void hwgen_memory(Simulation *simulation, int n, const MemorySettings *settings) {
  simulation->memories[n].is = *settings;
}

// what: 0 bytes that it brought, 1 beats that the design says were late, 2 whether it says that there was an error
int64_t hwgen_read(Simulation *simulation, int n, int what) {
  const Memory &memory = simulation->memories[n];
  return what == 0 ? memory.bytes : what == 1 ? memory.late : memory.error;
}

// What a memory was asked for that it must not be, if anything.
const char *hwgen_fault(Simulation *simulation) {
  const Memory *memory = simulation->faulty();
  return memory ? memory->fault.c_str() : nullptr;
}

// Runs until all is there, for `cycles` at most. 0: not done, 1: done, -1: a beat was withdrawn or changed, -2: a memory
// was asked for what it must not be.
int hwgen_run(Simulation *simulation, int64_t cycles) {
  for (int64_t n = 0; n < cycles; ++n) {
    if (simulation->broken >= 0) return -1;
    if (simulation->faulty()) return -2;
    if (simulation->done()) return 1;
    simulation->tick();
  }
  return 0;
}

int64_t hwgen_cycle(Simulation *simulation) { return simulation->cycle; }
}
