/*
 * The FUSE server that dlfuse is measured against: one file, read-only, whose bytes lie in memory.
 * A read is one fuse_reply_buf from there: no cache to look at, no counters, no locks.
 *
 *     null-fuse FILE DIR      shows FILE's content as DIR/root.img, in the foreground
 *
 * Mount options and connection settings are those of dlfuse: requests of up to 1 MiB, the page
 * cache kept, a multi-threaded loop.
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX (1u << 20)
#define INODE_FILE 2
#define NAME "root.img"
#define VALID_SECONDS 86400.0

struct content {
    uint8_t *bytes;
    size_t size;
};

static void describe(const struct content *content, fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_nlink = 1;
    st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
    st->st_size = ino == FUSE_ROOT_ID ? 0 : (off_t)content->size;
    st->st_blksize = READ_MAX;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->max_read = READ_MAX;
    conn->max_readahead = READ_MAX;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {
        .ino = INODE_FILE, .attr_timeout = VALID_SECONDS, .entry_timeout = VALID_SECONDS};
    if (parent != FUSE_ROOT_ID || strcmp(name, NAME) != 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    describe(fuse_req_userdata(req), INODE_FILE, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    (void)fi;
    describe(fuse_req_userdata(req), ino, &st);
    fuse_reply_attr(req, &st, VALID_SECONDS);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino != INODE_FILE) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    const struct content *content = fuse_req_userdata(req);
    size_t at = (size_t)offset;
    (void)ino;
    (void)fi;
    if (at >= content->size)
        fuse_reply_buf(req, NULL, 0);
    else
        fuse_reply_buf(req, (const char *)content->bytes + at,
                       content->size - at < size ? content->size - at : size);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
};

static int load(struct content *content, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(path);
        return -1;
    }
    content->size = (size_t)st.st_size;
    content->bytes = malloc(content->size + 1);
    while (content->bytes && done < content->size) {
        ssize_t n = read(fd, content->bytes + done, content->size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    close(fd);
    if (!content->bytes || done < content->size) {
        fprintf(stderr, "null-fuse: cannot load %s\n", path);
        return -1;
    }
    return 0;
}

static int serve(struct content *content, char *program, const char *dir)
{
    char options[] = "-oro,max_read=1048576,fsname=null-fuse,subtype=null-fuse";
    char *argv[] = {program, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    struct fuse_loop_config config = {.clone_fd = 0, .max_idle_threads = 10};
    struct fuse_session *session =
        fuse_session_new(&args, &operations, sizeof(operations), content);
    int rc = -1;

    if (!session)
        return -1;
    if (fuse_set_signal_handlers(session) == 0) {
        if (fuse_session_mount(session, dir) == 0) {
            rc = fuse_session_loop_mt(session, &config);
            fuse_session_unmount(session);
        }
        fuse_remove_signal_handlers(session);
    }
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return rc;
}

int main(int argc, char **argv)
{
    struct content content = {0};
    int rc;

    if (argc != 3) {
        fprintf(stderr, "usage: null-fuse FILE DIR\n");
        return 2;
    }
    if (load(&content, argv[1]) != 0)
        return 1;
    rc = serve(&content, argv[0], argv[2]);
    free(content.bytes);
    return rc == 0 ? 0 : 1;
}
