// A memory behind AXI read channels, as hwgen/simulate/dram.py has it: as slow as its contract allows, at random within
// it, or later. Its numbers lie in Python's memory.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

namespace {

enum Mode { WORST, RANDOM, BROKEN };

// All as in ReadMemory; `took` are the cycles of each beat of a frame, `most` the beats of all frames, or less than 0.
struct MemorySettings {
  const uint8_t *image;
  const int64_t *took;
  int64_t size, base, page, bus, beats, most_beats, latency, most_wait, mode, late, most, seed;
  uint8_t poison;
};

struct Memory {
  struct Due {
    int64_t cycle, at;
    bool last;
  };

  MemorySettings is{};
  int64_t bytes = 0, late = 0, error = 0;
  std::string fault;

  // Before the cycle: take a request, or let it wait, and offer the beat that is due.
  template <class Valid, class Request, class Ready, class Answer, class Page, class Go>
  void drive(int64_t cycle, Valid valid, const Request &request, Ready &ready, Valid &answers, Answer &answer,
             Page &page, Go &go) {
    if (cycle == 0) random = uint64_t(is.seed) * 0x9E3779B97F4A7C15u | 1;
    page = is.base / is.page;
    const int64_t asks = valid ? Asked(request).beats : 0;
    go = is.most < 0 || count + asks < is.most;
    if (!shown && !due.empty() && due.front().cycle <= cycle) {
      show(answer, is.image + due.front().at, due.front().last);
      due.pop_front();
      shown = true;
    } else if (!shown) {
      show(answer, nullptr, false);
    }
    answers = shown;
    ready = held ? cycle >= asked + wait : wait == 0;
  }

  // What moved in the cycle.
  template <class Request> void sample(int64_t cycle, bool valid, const Request &request, bool ready, bool taken) {
    if (shown && taken) shown = false, bytes += is.bus;
    const Asked now(request);
    if (held && !(valid && now.address == before.address && now.beats == before.beats))
      return fail(cycle, before, "was withdrawn or changed");
    if (!valid) return;
    if (!held) asked = cycle;
    held = !ready;
    before = now;
    if (!ready) return;
    accept(now, cycle);
    wait = is.most_wait ? between(0, is.most_wait) : 0;
  }

 private:
  // 32 bits of address, then the beats less one.
  struct Asked {
    int64_t address = 0, beats = 0;
    Asked() = default;
    template <class Request> explicit Asked(const Request &request) {
      uint64_t bits = 0;
      std::memcpy(&bits, &request, sizeof(request));
      address = bits & 0xFFFFFFFFu, beats = int64_t(bits >> 32) + 1;
    }
  };

  std::deque<Due> due;
  Asked before;
  bool shown = false, held = false;
  int64_t asked = 0, wait = 0, count = 0, free = 0, last_due = -1;
  uint64_t random = 1;

  int64_t between(int64_t low, int64_t high) {  // xorshift64
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return low + int64_t(random % uint64_t(high - low + 1));
  }

  // The data, and behind it whether it is the last beat of a burst above two bits that say that all is well.
  template <class Answer> void show(Answer &answer, const uint8_t *data, bool last) {
    uint8_t bits[sizeof(answer)] = {};
    if (data) std::memcpy(bits, data, is.bus);
    else std::memset(bits, is.poison, is.bus);
    bits[is.bus] = last << 2;
    std::memcpy(&answer, bits, sizeof(answer));
  }

  void accept(const Asked &burst, int64_t cycle) {
    const int64_t size = burst.beats * is.bus, begin = burst.address - is.base;
    if (burst.address / is.page != (burst.address + size - 1) / is.page) return fail(cycle, burst, "crosses a page");
    if (burst.beats > is.most_beats) return fail(cycle, burst, "has more beats than AXI allows");
    if (begin < 0 || begin > is.size - size) return fail(cycle, burst, "leaves the image");
    for (int64_t n = 0; n < burst.beats; ++n) {
      const int64_t start = std::max(asked, free);
      free = start + is.took[count++ % is.beats];
      last_due = when(free, cycle);
      due.push_back({last_due, begin + n * is.bus, n == burst.beats - 1});
    }
  }

  // The cycle in which a beat comes that the contract's server has served by cycle `served`.
  int64_t when(int64_t served, int64_t cycle) {
    if (is.mode == WORST) return served + is.latency;
    if (is.mode == BROKEN) return std::max(served + is.late * is.latency, last_due + between(1, 3));
    const int64_t soonest = std::max(cycle, last_due) + 1;
    return between(soonest, std::max(soonest, served + is.latency - is.most_wait));
  }

  void fail(int64_t cycle, const Asked &burst, const char *what) {
    if (!fault.empty()) return;
    char text[160];
    std::snprintf(text, sizeof(text), "cycle %lld: the read of %lld bytes at %#llx %s", (long long)cycle,
                  (long long)(burst.beats * is.bus), (unsigned long long)burst.address, what);
    fault = text;
  }
};

}  // namespace
