/* SPDX-License-Identifier: MIT */
/*
 * A signal that ends the command is noted, and the loop ends by itself. On a fatal signal the
 * handler restores the terminal, with control strings read beforehand, and raises the signal
 * again.
 */
#include "tools/cli/top_screen.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/live/live.h"

static volatile sig_atomic_t ended_by;

static void signal_note(int number)
{
    ended_by = number;
}

void top_signals_take(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = signal_note}, before;

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

int top_signal(void)
{
    return ended_by;
}

#ifdef HAVE_NCURSES
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <term.h>
#include <termios.h>

static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
static struct termios terminal_before;
static char give_back[64]; /* codes that show the cursor and the screen before */
static SCREEN *screen;
static bool is_utf8;

static void fatal_handle(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, give_back, strlen(give_back));

    (void)ignored;
    tcsetattr(STDOUT_FILENO, TCSANOW, &terminal_before);
    raise(number); /* as it would have been: the handler is gone */
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

    setlocale(LC_CTYPE, "");
    is_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
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
    cbreak();
    noecho();
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

    timeout(seconds > 0 ? (int)(seconds * 1000) + 1 : 0);
    key = getch();
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
