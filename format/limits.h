/*
 * Limits of the format, version 1. Each is checked before anything is allocated or fetched.
 * docs/FORMAT.md lists them too; change both together.
 */
#ifndef DLFUSE_FORMAT_LIMITS_H
#define DLFUSE_FORMAT_LIMITS_H

#include <stdint.h>

/* Bytes. A manifest has a dozen lines and some signatures; 64 KiB is generous. */
#define DLF_MANIFEST_MAX ((size_t)64 << 10)

/* Bytes of image, holes included. DLF_INDEX_HEAD_MAX limits data to about 2 TiB in 64 KiB chunks.
 */
#define DLF_IMAGE_MAX ((uint64_t)8 << 40)

/* Bytes of one chunk's content; also the most that its stored form can take. */
#define DLF_CHUNK_MAX ((uint32_t)1 << 20)

/* Bytes. A pack is closed when it reaches the target: proxies that fetch whole objects stay usable.
 */
#define DLF_PACK_TARGET ((uint32_t)8 << 20)
#define DLF_PACK_MAX ((uint32_t)16 << 20)

/* Bytes of an index head: page and pack tables are held in memory by every node. */
#define DLF_INDEX_HEAD_MAX ((uint32_t)16 << 20)

/* Bytes of a boot pack and of its table. A boot reads some percent of an image. The table has 72
 * bytes for each chunk and is held in memory while the boot pack streams in. 58,000 chunks are 3.5
 * GiB. */
#define DLF_BOOT_MAX ((uint64_t)1 << 30)
#define DLF_BOOT_TABLE_MAX ((uint32_t)4 << 20)

/* Mirrors that a manifest names, and characters in each one's URL. A line is short, and nodes take
 * 16 mirrors, including the source of the manifest. */
#define DLF_MIRROR_LINES_MAX 15
#define DLF_MIRROR_URL_MAX 240

/* Characters in an image's name: [A-Za-z0-9._-], not beginning with '.' or '-'. */
#define DLF_NAME_MAX 128

#endif
