/* SPDX-License-Identifier: MIT */
/*
 * A signal that ends the command is stored, and the loop ends by itself. The handler also writes to
 * a pipe that every wait polls, because the signal may arrive just before the wait. SIGWINCH is
 * unblocked only while waiting. The handler of a fatal signal restores the terminal, with control
 * codes read from its description beforehand, and raises the signal again.
 */
#include "tools/cli/top_screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/live/live_processes.h"

#define WAIT_MOST_S 1e6

static volatile sig_atomic_t ended_by;
static int noted[2] = {-1, -1};

static void signal_note(int number)
{
    int error = errno;
    ssize_t ignored = write(noted[1], "", 1);

    (void)ignored;
    ended_by = number;
    errno = error;
}

void top_signals_take(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = signal_note}, before;

    if (pipe2(noted, O_CLOEXEC | O_NONBLOCK) < 0)
        noted[0] = noted[1] = -1;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

int top_signal(void)
{
    return ended_by;
}

int top_signal_descriptor(void)
{
    return noted[0];
}

/** Waits for input (none if -1) or a signal, for a limited time, with the signal mask `mask`. */
static void wait_for(int input, double seconds, const sigset_t *mask)
{
    struct pollfd ends[] = {{.fd = noted[0], .events = POLLIN}, {.fd = input, .events = POLLIN}};
    struct timespec time;

    seconds = seconds < 0 ? 0 : seconds > WAIT_MOST_S ? WAIT_MOST_S : seconds;
    time.tv_sec = (time_t)seconds;
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    ppoll(ends, 2, &time, mask);
}

void top_pause(double seconds)
{
    wait_for(-1, seconds, NULL);
}

#ifdef HAVE_NCURSES
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <term.h>
#include <termios.h>

static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
static struct termios terminal_before;
static char give_back[64]; /* codes that restore the cursor and the earlier screen */
static SCREEN *screen;
static sigset_t mask_before; /* of signals */
static bool is_utf8;

static void fatal_handle(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, give_back, strlen(give_back));

    (void)ignored;
    tcsetattr(STDOUT_FILENO, TCSANOW, &terminal_before);
    raise(number); /* the handler is reset, so this ends the process */
}

static void code_add(const char *name)
{
    const char *code = tigetstr(name);

    if (code && code != (const char *)-1 && strlen(give_back) + strlen(code) < sizeof give_back)
        strcat(give_back, code);
}

bool top_screen_begin(void)
{
    struct sigaction action = {.sa_handler = fatal_handle, .sa_flags = (int)SA_RESETHAND};
    const char *name = getenv("TERM");
    sigset_t size_changes;

    setlocale(LC_CTYPE, "");
    is_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO) || !name || !strcmp(name, "dumb") ||
        tcgetattr(STDOUT_FILENO, &terminal_before) < 0)
        return false;
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return false;
    if (!tigetstr("cup") || tigetstr("cup") == (char *)-1) {
        top_screen_end();
        return false;
    }
    code_add("cnorm");
    code_add("rmcup");
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        sigaction(fatal[i], &action, NULL);
    sigemptyset(&size_changes);
    sigaddset(&size_changes, SIGWINCH);
    sigprocmask(SIG_BLOCK, &size_changes, &mask_before);
    cbreak();
    noecho();
    timeout(0);
    keypad(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    return true;
}

void top_screen_end(void)
{
    if (!screen)
        return;
    endwin();
    delscreen(screen);
    screen = NULL;
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL);
}

unsigned top_screen_columns(void)
{
    return COLS > 0 ? (unsigned)COLS : 80;
}

unsigned top_screen_lines(void)
{
    return LINES > 0 ? (unsigned)LINES : 24;
}

bool top_screen_is_plain(void)
{
    return !is_utf8;
}

void top_screen_print(const char *text, const char *bottom)
{
    erase();
    for (int row = 0; *text && row < LINES - 1; row++) {
        const char *end = strchrnul(text, '\n');

        mvaddnstr(row, 0, text, (int)(end - text));
        text = *end ? end + 1 : end;
    }
    attron(A_REVERSE);
    mvaddnstr(LINES - 1, 0, bottom, COLS - 1);
    attroff(A_REVERSE);
    refresh();
}

int top_screen_key(double seconds)
{
    static const char sorts[LIVE_SORTS] = {[LIVE_SORT_BYTES] = 'b',
                                           [LIVE_SORT_PEAK] = 'p',
                                           [LIVE_SORT_ALLOCATIONS] = 'a',
                                           [LIVE_SORT_NAME] = 'n'};
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int key;

    key = getch();
    if (key == ERR) {
        wait_for(STDIN_FILENO, seconds, &mask_before);
        key = getch();
    }
    if (key == ERR && poll(&input, 1, 0) == 1 && (input.revents & (POLLHUP | POLLERR)))
        return TOP_KEY_QUIT; /* the terminal is gone */
    for (int i = 0; i < LIVE_SORTS; i++)
        if (key == sorts[i])
            return TOP_KEY_SORT + i;
    switch (key) {
    case KEY_RESIZE: return TOP_KEY_SIZE;
    case 'q':
    case 'Q': return TOP_KEY_QUIT;
    case 'h':
    case '?': return TOP_KEY_HELP;
    case KEY_UP:
    case 'k': return TOP_KEY_UP;
    case KEY_DOWN:
    case 'j': return TOP_KEY_DOWN;
    case '\n':
    case '\r':
    case KEY_ENTER: return TOP_KEY_ENTER;
    case 27:
    case KEY_BACKSPACE:
    case KEY_LEFT: return TOP_KEY_BACK;
    default: return TOP_KEY_NONE;
    }
}
#else
bool top_screen_begin(void)
{
    return false;
}

void top_screen_end(void)
{
}

unsigned top_screen_columns(void)
{
    return 80;
}

unsigned top_screen_lines(void)
{
    return 24;
}

bool top_screen_is_plain(void)
{
    return true;
}

void top_screen_print(const char *text, const char *bottom)
{
    (void)text;
    (void)bottom;
}

int top_screen_key(double seconds)
{
    (void)seconds;
    return TOP_KEY_QUIT;
}
#endif
