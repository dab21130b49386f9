// Runs a design that CXXRTL wrote: sources, sinks and watches around it, a cycle at a time, called from Python.
// INPUTS, OUTPUTS and WATCHES list its streams; DESIGN is the file with `cxxrtl_design::p_top`.
#include DESIGN

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// Payloads lie in Python's arrays as in cxxrtl::value: 32-bit chunks, the lowest first.
template <size_t Bits> uint8_t *bytes(cxxrtl::value<Bits> &value) { return reinterpret_cast<uint8_t *>(value.data); }
template <size_t Bits> uint8_t *bytes(cxxrtl::wire<Bits> &wire) { return reinterpret_cast<uint8_t *>(wire.curr.data); }
template <class Port> bool is_set(Port &port) { return bytes(port)[0] & 1; }

struct Stream {
  uint8_t *beats = nullptr;
  int64_t *cycles = nullptr;
  int64_t count = 0, at = 0;
  bool offering = false, held = false, seen = false;
  std::vector<uint8_t> offered;

  uint8_t *beat(size_t size) { return beats + at * size; }
  bool full() const { return at >= count; }
  void keep(const uint8_t *payload, size_t size, int64_t cycle) {
    if (full()) return;
    std::memcpy(beat(size), payload, size);
    cycles[at++] = cycle;
  }
};

struct Simulation {
  cxxrtl_design::p_top top;
  std::vector<Stream> sources, sinks, watches;
  uint64_t random = 0;
  int64_t cycle = 0, broken = -1;

  bool chance(unsigned of_100) {  // xorshift64
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return random % 100 < of_100;
  }

  template <class Valid, class Payload> void offer(Stream &stream, Valid &valid, Payload &payload) {
    stream.offering = !stream.full() && (stream.offering || !random || chance(60));
    valid.template set<bool>(stream.offering);
    if (stream.offering) std::memcpy(bytes(payload), stream.beat(sizeof(payload.data)), sizeof(payload.data));
  }
  template <class Ready> void sample_source(Stream &stream, Ready &ready) {
    if (!stream.offering || !is_set(ready)) return;
    stream.cycles[stream.at++] = cycle;
    stream.offering = false;
  }
  template <class Ready> void accept(Stream &stream, Ready &ready) {
    ready.template set<bool>(!random || (stream.seen && chance(50)));
  }
  template <class Valid, class Payload, class Ready>
  void sample_sink(Stream &stream, Valid &valid, Payload &payload, Ready &ready) {
    const size_t size = (Payload::bits + 31) / 32 * 4;
    const bool offered = is_set(valid), taken = offered && is_set(ready);
    if (stream.held && (!offered || std::memcmp(stream.offered.data(), bytes(payload), size))) broken = cycle;
    stream.held = offered && !taken;
    if (stream.held) stream.offered.assign(bytes(payload), bytes(payload) + size);
    stream.seen |= offered;
    if (taken) stream.keep(bytes(payload), size, cycle);
  }
  template <class Moves, class Payload> void sample_watch(Stream &stream, Moves &moves, Payload &payload) {
    if (is_set(moves)) stream.keep(bytes(payload), (Payload::bits + 31) / 32 * 4, cycle);
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
    top.p_clk.set<bool>(false);
    top.step();
#define X(n, valid, payload, ready) sample_source(sources[n], top.ready);
    INPUTS(X)
#undef X
#define X(n, valid, payload, ready) sample_sink(sinks[n], top.valid, top.payload, top.ready);
    OUTPUTS(X)
#undef X
#define X(n, moves, payload) sample_watch(watches[n], top.moves, top.payload);
    WATCHES(X)
#undef X
    top.p_clk.set<bool>(true);
    top.step();
    ++cycle;
  }
};

}  // namespace

extern "C" {

Simulation *hwgen_create(int sources, int sinks, int watches, uint64_t seed) {
  auto *simulation = new Simulation;
  simulation->sources.resize(sources);
  simulation->sinks.resize(sinks);
  simulation->watches.resize(watches);
  simulation->random = seed ? seed * 0x9E3779B97F4A7C15u | 1 : 0;
  simulation->top.p_rst.set<bool>(false);
  return simulation;
}

void hwgen_destroy(Simulation *simulation) { delete simulation; }

// kind: 0 source, 1 sink, 2 watch
void hwgen_stream(Simulation *simulation, int kind, int n, uint8_t *beats, int64_t *cycles, int64_t count) {
  Stream &stream = (kind == 0 ? simulation->sources : kind == 1 ? simulation->sinks : simulation->watches)[n];
  stream.beats = beats, stream.cycles = cycles, stream.count = count;
}

int64_t hwgen_moved(Simulation *simulation, int kind, int n) {
  return (kind == 0 ? simulation->sources : kind == 1 ? simulation->sinks : simulation->watches)[n].at;
}

// Runs until all is there, for `cycles` at most. 0: not done, 1: done, -1: a beat was withdrawn or changed.
int hwgen_run(Simulation *simulation, int64_t cycles) {
  for (int64_t n = 0; n < cycles; ++n) {
    if (simulation->broken >= 0) return -1;
    if (simulation->done()) return 1;
    simulation->tick();
  }
  return 0;
}

int64_t hwgen_cycle(Simulation *simulation) { return simulation->cycle; }
}
