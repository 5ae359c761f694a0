// Stands between a program and its C library (LD_PRELOAD) and counts, over all threads and over all processes of one
// life, the calls that change files below one directory. At the chosen call it acts: kills or stops the process before
// or after it, lets it fail, or lets it do half of its work. `when=n` of strace counts a thread at a time and would
// leave out what another thread reached first; the sweeps compare their counts with those of strace once.
//
// SWEEP_DIRECTORY  the directory; SWEEP_CONTROL  a file of the shape of `struct control`, shared with the driver.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { nothing, kill_before, kill_after, stop_before, fail_once, fail_always, half_once, half_then_fail };
enum { trace_bytes = 1 << 20 };

struct control {
  _Atomic uint64_t count;  // calls so far
  _Atomic uint64_t at;     // the call to act on, from 1; 0: none
  _Atomic uint32_t action;
  _Atomic uint32_t error;  // errno of fail_once and fail_always
  _Atomic uint32_t fired;  // how often it acted
  _Atomic uint32_t traced; // bytes of the trace
  char trace[trace_bytes]; // one line a call: its name and path
};

static struct control *control;
static char directory[4096];
static size_t directory_length;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SWEEP_CONTROL");
  const char *below = getenv("SWEEP_DIRECTORY");
  if (path == NULL || below == NULL || strlen(below) >= sizeof directory) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) abort();
  void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  strcpy(directory, below);
  directory_length = strlen(below);
  control = map;
}

static int is_below(const char *path) {
  return strncmp(path, directory, directory_length) == 0 &&
         (path[directory_length] == '/' || path[directory_length] == 0);
}

static void trace(const char *name, const char *path) {
  char line[512];
  int length = snprintf(line, sizeof line, "%s %s\n", name, path[directory_length] == 0 ? "." : path + directory_length + 1);
  if (length >= (int)sizeof line) length = sizeof line - 1;
  uint32_t at = atomic_fetch_add(&control->traced, (uint32_t)length);
  if (at + (uint32_t)length < trace_bytes) memcpy(control->trace + at, line, (size_t)length);
}

/** What is to be done with this call. Ends or stops the process where that comes before the call. */
static int arrive(const char *name, const char *path) {
  if (control == NULL || path == NULL || !is_below(path)) return nothing;
  int action = (int)control->action;
  uint64_t number = atomic_fetch_add(&control->count, 1) + 1;
  trace(name, path);
  uint64_t at = control->at;
  if (at == 0 || number < at) return nothing;
  if (number > at && action != fail_always && !(action == half_then_fail && number == at + 1)) return nothing;
  atomic_fetch_add(&control->fired, 1);
  if (action == half_then_fail) return number == at ? half_once : fail_once;
  if (action == kill_before) kill(getpid(), SIGKILL);
  // To this thread: sent to the process, another one might take it, and this one would make its call meanwhile.
  if (action == stop_before) syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGSTOP);
  return action;
}

static int arrive_fd(const char *name, int fd) {
  if (control == NULL) return nothing;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length <= 0) return nothing;
  path[length] = 0;
  return arrive(name, path);
}

static int fails(int action) {
  if (action != fail_once && action != fail_always) return 0;
  errno = (int)control->error;
  return 1;
}

static void leave(int action) {
  if (action == kill_after) kill(getpid(), SIGKILL);
}

static size_t share(int action, size_t count) { return action == half_once && count > 1 ? count / 2 : count; }

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define ON_FD(result, name, label, arguments, fd, call) \
  result name arguments { \
    REAL(name); \
    int action = arrive_fd(label, fd); \
    if (fails(action)) return -1; \
    result done = call; \
    leave(action); \
    return done; \
  }

#define ON_PATH(name, label, arguments, path, call) \
  int name arguments { \
    REAL(name); \
    int action = arrive(label, path); \
    if (fails(action)) return -1; \
    int done = call; \
    leave(action); \
    return done; \
  }

ON_FD(ssize_t, write, "write", (int fd, const void *bytes, size_t count), fd, real(fd, bytes, share(action, count)))
ON_FD(ssize_t, pwrite, "pwrite64", (int fd, const void *bytes, size_t count, off_t at), fd,
      real(fd, bytes, share(action, count), at))
ON_FD(ssize_t, pwrite64, "pwrite64", (int fd, const void *bytes, size_t count, off64_t at), fd,
      real(fd, bytes, share(action, count), at))
ON_FD(int, fsync, "fsync", (int fd), fd, real(fd))
ON_FD(int, fdatasync, "fdatasync", (int fd), fd, real(fd))
ON_FD(int, ftruncate, "ftruncate", (int fd, off_t size), fd, real(fd, size))
ON_FD(int, ftruncate64, "ftruncate", (int fd, off64_t size), fd, real(fd, size))
ON_FD(int, fallocate, "fallocate", (int fd, int mode, off_t at, off_t size), fd, real(fd, mode, at, size))
ON_FD(int, fallocate64, "fallocate", (int fd, int mode, off64_t at, off64_t size), fd, real(fd, mode, at, size))

// Half of a vector is its first part, or half of that.
static ssize_t vector(int action, int fd, const struct iovec *parts, int count, off64_t at,
                      ssize_t (*real)(int, const struct iovec *, int, off64_t)) {
  if (action != half_once) return real(fd, parts, count, at);
  struct iovec first = parts[0];
  if (count == 1) first.iov_len = share(action, first.iov_len);
  return real(fd, &first, 1, at);
}

static ssize_t plain_writev(int fd, const struct iovec *parts, int count, off64_t at) {
  (void)at;
  return syscall(SYS_writev, fd, parts, count);
}

#define ON_VECTOR(name, label, arguments, at, call) \
  ssize_t name arguments { \
    int action = arrive_fd(label, fd); \
    if (fails(action)) return -1; \
    ssize_t done = vector(action, fd, parts, count, at, call); \
    leave(action); \
    return done; \
  }

static ssize_t real_pwritev(int fd, const struct iovec *parts, int count, off64_t at) {
  REAL(pwritev64);
  return real(fd, parts, count, at);
}

ON_VECTOR(writev, "writev", (int fd, const struct iovec *parts, int count), 0, plain_writev)
ON_VECTOR(pwritev, "pwritev", (int fd, const struct iovec *parts, int count, off_t at), at, real_pwritev)
ON_VECTOR(pwritev64, "pwritev", (int fd, const struct iovec *parts, int count, off64_t at), at, real_pwritev)

ON_PATH(rename, "rename", (const char *from, const char *to), to, real(from, to))
ON_PATH(link, "link", (const char *from, const char *to), to, real(from, to))
ON_PATH(unlink, "unlink", (const char *path), path, real(path))
ON_PATH(rmdir, "rmdir", (const char *path), path, real(path))
ON_PATH(remove, "unlink", (const char *path), path, real(path))
ON_PATH(mkdir, "mkdir", (const char *path, mode_t mode), path, real(path, mode))
ON_PATH(truncate, "truncate", (const char *path, off_t size), path, real(path, size))
ON_PATH(unlinkat, "unlinkat", (int at, const char *path, int flags), path, real(at, path, flags))

// Only what makes or empties a file changes the disk; other opens pass uncounted.
#define ON_OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, int) : 0; \
    va_end(rest); \
    int action = (flags & (O_CREAT | O_TRUNC)) != 0 ? arrive("openat", path) : nothing; \
    if (fails(action)) return -1; \
    int done = real(path, flags, mode); \
    leave(action); \
    return done; \
  }

ON_OPEN(open)
ON_OPEN(open64)
