/* AMD's AXI DMA in simple mode (PG021), by its registers: a link for an accelerator with a DMA for every output.
 *
 * Buffers must be aligned to the DMA's words; 64 bytes always do. Where the processor has a cache that the DMA does not
 * see, define AXI_DMA_FLUSH and AXI_DMA_INVALIDATE, such as Xil_DCacheFlushRange and Xil_DCacheInvalidateRange; buffers
 * of results should then fill whole cache lines.
 */
#ifndef AXI_DMA_H
#define AXI_DMA_H

#include <stddef.h>
#include <stdint.h>

#ifndef AXI_DMA_WRITE
#define AXI_DMA_WRITE(address, value) (*(volatile uint32_t *)(address) = (value))
#define AXI_DMA_READ(address) (*(volatile uint32_t *)(address))
#endif
#ifndef AXI_DMA_FLUSH
#define AXI_DMA_FLUSH(address, bytes) ((void)(address), (void)(bytes))
#define AXI_DMA_INVALIDATE(address, bytes) ((void)(address), (void)(bytes))
#endif
#ifndef AXI_DMA_PATIENCE
#define AXI_DMA_PATIENCE 100000000ul /* how often a channel is asked before it is given up */
#endif

#define AXI_DMA_MOST 0x03FFFFFFu /* bytes of one transfer */

/* Registers of a channel: to the accelerator, and from it. */
enum { AXI_DMA_SEND = 0x00, AXI_DMA_RECEIVE = 0x30 };
enum { AXI_DMA_CONTROL = 0x00, AXI_DMA_STATUS = 0x04, AXI_DMA_ADDRESS = 0x18, AXI_DMA_HIGH = 0x1C, AXI_DMA_LENGTH = 0x28 };
enum { AXI_DMA_RUN = 1u << 0, AXI_DMA_RESET = 1u << 2 };
enum { AXI_DMA_IDLE = 1u << 1, AXI_DMA_ERRORS = 0x70u };
enum { AXI_DMA_OK = 0, AXI_DMA_TOO_LONG = -1, AXI_DMA_FAILED = -2, AXI_DMA_TIMEOUT = -3, AXI_DMA_NO_STREAM = -4 };
enum { AXI_DMA_STREAMS = 15 };

/* The addresses of the DMAs, one for every stream of results; the first one also sends. */
struct axi_dma {
    uintptr_t base[AXI_DMA_STREAMS];
    unsigned streams;
    void *data[AXI_DMA_STREAMS];
    size_t bytes[AXI_DMA_STREAMS];
};

static inline int axi_dma_wait(uintptr_t channel, uint32_t mask, uint32_t value)
{
    unsigned long left;
    for (left = AXI_DMA_PATIENCE; left != 0; left--) {
        uint32_t status = AXI_DMA_READ(channel + AXI_DMA_STATUS);
        if ((status & AXI_DMA_ERRORS) != 0) {
            return AXI_DMA_FAILED;
        }
        if ((status & mask) == value) {
            return AXI_DMA_OK;
        }
    }
    return AXI_DMA_TIMEOUT;
}

/* Reset all DMAs and start their channels. */
static inline int axi_dma_start(struct axi_dma *dma)
{
    unsigned stream;
    for (stream = 0; stream < dma->streams; stream++) {
        uintptr_t base = dma->base[stream];
        unsigned long left = AXI_DMA_PATIENCE;
        AXI_DMA_WRITE(base + AXI_DMA_RECEIVE + AXI_DMA_CONTROL, AXI_DMA_RESET);
        while ((AXI_DMA_READ(base + AXI_DMA_RECEIVE + AXI_DMA_CONTROL) & AXI_DMA_RESET) != 0) {
            if (--left == 0) {
                return AXI_DMA_TIMEOUT;
            }
        }
        AXI_DMA_WRITE(base + AXI_DMA_RECEIVE + AXI_DMA_CONTROL, AXI_DMA_RUN);
        if (stream == 0) {
            AXI_DMA_WRITE(base + AXI_DMA_SEND + AXI_DMA_CONTROL, AXI_DMA_RUN);
        }
        dma->bytes[stream] = 0;
    }
    return AXI_DMA_OK;
}

/* Writing the length starts a transfer. */
static inline int axi_dma_transfer(uintptr_t channel, const void *data, size_t bytes)
{
    uint64_t address = (uint64_t)(uintptr_t)data;
    if (bytes == 0 || bytes > AXI_DMA_MOST) {
        return AXI_DMA_TOO_LONG;
    }
    AXI_DMA_WRITE(channel + AXI_DMA_ADDRESS, (uint32_t)address);
    AXI_DMA_WRITE(channel + AXI_DMA_HIGH, (uint32_t)(address >> 32));
    AXI_DMA_WRITE(channel + AXI_DMA_LENGTH, (uint32_t)bytes);
    return AXI_DMA_OK;
}

/* The three functions of a link; `context` is a struct axi_dma. */

static inline int axi_dma_expect(void *context, unsigned stream, void *data, size_t bytes)
{
    struct axi_dma *dma = (struct axi_dma *)context;
    if (stream >= dma->streams) {
        return AXI_DMA_NO_STREAM;
    }
    AXI_DMA_FLUSH(data, bytes);
    dma->data[stream] = data;
    dma->bytes[stream] = bytes;
    return axi_dma_transfer(dma->base[stream] + AXI_DMA_RECEIVE, data, bytes);
}

static inline int axi_dma_send(void *context, const void *data, size_t bytes)
{
    struct axi_dma *dma = (struct axi_dma *)context;
    AXI_DMA_FLUSH(data, bytes);
    return axi_dma_transfer(dma->base[0] + AXI_DMA_SEND, data, bytes);
}

static inline int axi_dma_finish(void *context)
{
    struct axi_dma *dma = (struct axi_dma *)context;
    unsigned stream;
    int status = axi_dma_wait(dma->base[0] + AXI_DMA_SEND, AXI_DMA_IDLE, AXI_DMA_IDLE);
    for (stream = 0; status == AXI_DMA_OK && stream < dma->streams; stream++) {
        if (dma->bytes[stream] != 0) {
            status = axi_dma_wait(dma->base[stream] + AXI_DMA_RECEIVE, AXI_DMA_IDLE, AXI_DMA_IDLE);
            AXI_DMA_INVALIDATE(dma->data[stream], dma->bytes[stream]);
            dma->bytes[stream] = 0;
        }
    }
    return status;
}

#endif
