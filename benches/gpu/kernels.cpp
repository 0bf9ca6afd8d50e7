// Where a GPU's time goes: kernels and copies of a process, summed by name and printed when it ends.
//   g++ -O2 -shared -fPIC -I CUDA/include kernels.cpp -o libkernels.so -L CUDA/lib -lcupti
//   KERNELS_FROM=1000 KERNELS_OUT=table CUDA_INJECTION64_PATH=$PWD/libkernels.so PROGRAM
// KERNELS_FROM leaves so many out, those of loading and of the first runs.
#include <cupti.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

struct Sum {
    uint64_t count = 0, nanoseconds = 0, bytes = 0;
};

static std::mutex                 guard;
static std::map<std::string, Sum> sums;
static uint64_t                   first, last, busy, seen, skip;

static void add(const std::string & name, uint64_t start, uint64_t end, uint64_t bytes) {
    if (seen++ < skip) {
        return;
    }
    Sum & sum = sums[name];
    sum.count++;
    sum.nanoseconds += end - start;
    sum.bytes += bytes;
    busy += end - start;
    first = first == 0 ? start : std::min(first, start);
    last  = std::max(last, end);
}

static void CUPTIAPI requested(uint8_t ** buffer, size_t * size, size_t * records) {
    *size    = 4 << 20;
    *buffer  = (uint8_t *) aligned_alloc(8, *size);
    *records = 0;
}

static void CUPTIAPI completed(CUcontext, uint32_t, uint8_t * buffer, size_t, size_t valid) {
    std::lock_guard<std::mutex> lock(guard);
    CUpti_Activity *            record = nullptr;
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
            auto * kernel = (CUpti_ActivityKernel10 *) record;
            std::string name(kernel->name ? kernel->name : "?");
            add(name.substr(0, 110), kernel->start, kernel->end, 0);
        } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
            auto * copy = (CUpti_ActivityMemcpy6 *) record;
            add("copy of kind " + std::to_string(copy->copyKind), copy->start, copy->end, copy->bytes);
        }
    }
    free(buffer);
}

static void report() {
    cuptiActivityFlushAll(1);
    std::lock_guard<std::mutex> lock(guard);
    std::vector<std::pair<std::string, Sum>> list(sums.begin(), sums.end());
    std::sort(list.begin(), list.end(), [](auto & a, auto & b) { return a.second.nanoseconds > b.second.nanoseconds; });
    const char * path = getenv("KERNELS_OUT");
    FILE *       out  = path ? fopen(path, "w") : stderr;
    fprintf(out, "span %.3f ms, busy %.3f ms\n", (last - first) / 1e6, busy / 1e6);
    for (auto & [name, sum] : list) {
        fprintf(out, "%10.3f ms %6.2f %% %8llu x %10.2f us", sum.nanoseconds / 1e6, 100.0 * sum.nanoseconds / busy,
                (unsigned long long) sum.count, sum.nanoseconds / 1e3 / sum.count);
        if (sum.bytes) {
            fprintf(out, " %8.2f GB/s", (double) sum.bytes / sum.nanoseconds);
        }
        fprintf(out, "  %s\n", name.c_str());
    }
    fflush(out);
}

extern "C" int InitializeInjection(void) {
    const char * from = getenv("KERNELS_FROM");
    skip              = from ? strtoull(from, nullptr, 10) : 0;
    cuptiActivityRegisterCallbacks(requested, completed);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    atexit(report);
    return 1;
}
