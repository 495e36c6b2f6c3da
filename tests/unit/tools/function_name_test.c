/* SPDX-License-Identifier: MIT */
/*
 * Names of functions: the parts of a demangled name, their meaning, and globs for them.
 */
#include <criterion/criterion.h>
#include <fnmatch.h>
#include <string.h>

#include "tools/base/glob.h"
#include "tools/symbols/function_name.h"

Test(function_name, copy)
{
    static const struct {
        const char *name, *copy;
    } cases[] = {
        {"main", "main"},
        {"decode.constprop.0", "decode"},
        {"Engine::mlp(int) [clone .isra.0]", "Engine::mlp"},
        {"rt::Buffer<float>::allocate(unsigned long)", "rt::Buffer<float>::allocate"},
        {"void ns::Cache<int, std::pair<int, int> >::keep(unsigned long) const",
         "ns::Cache<int, std::pair<int, int> >::keep"},
        {"(anonymous namespace)::session_open()", "session_open"},
        {"rt::(anonymous namespace)::Pool::take(int)", "rt::Pool::take"},
        {"main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)#1}::operator()"},
        {"serve(int)::{lambda()#2}::operator()() const", "serve(int)::{lambda()#2}::operator()"},
        {"Device::operator new(unsigned long)", "Device::operator new"},
        {"bool operator< <int>(Box<int> const&, Box<int> const&)", "operator< <int>"},
        {"Tensor::operator[](int)", "Tensor::operator[]"},
        {"void (*make(int))(char)", "void (*make(int))(char)"},
        {"<mycrate::Foo as mycrate::Bar>::baz", "<mycrate::Foo as mycrate::Bar>::baz"},
        {"mycrate::foo::<fn(u8) -> [u8; 4]>", "mycrate::foo::<fn(u8) -> [u8; 4]>"},
        {"mycrate::main::{closure#0}", "mycrate::main::{closure#0}"},
        {"clean.<locals>.<listcomp>", "clean.<locals>.<listcomp>"},
        {"<module>", "<module>"},
        {"", ""},
        {"broken<((", "broken<(("},
    };
    char copy[128], small[8];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        function_name_copy(cases[i].name, copy, sizeof copy);
        cr_expect_str_eq(copy, cases[i].copy);
        function_name_copy(cases[i].name, small, sizeof small);
        cr_expect(strlen(small) < sizeof small && !strncmp(small, copy, strlen(small)));
    }
}

Test(function_name, role)
{
    static const struct {
        const char *name;
        enum function_role role;
    } cases[] = {
        {"main", FUNCTION_PLAIN},
        {"Engine::prefix_cache_insert(int)", FUNCTION_PLAIN},
        {"gpu_alloc", FUNCTION_ALLOCATES},
        {"rt::Buffer<float>::Buffer(unsigned long)", FUNCTION_CONSTRUCTS},
        {"Tensor.__init__", FUNCTION_CONSTRUCTS},
        {"operator new(unsigned long)", FUNCTION_ALLOCATES},
        {"rt::OnDevice::operator new(unsigned long)", FUNCTION_ALLOCATES},
        {"Buffer make_buffer<float>(int)", FUNCTION_ALLOCATES},
        {"device_vector<float>::resize(unsigned long)", FUNCTION_ALLOCATES},
        {"core::make(unsigned long)", FUNCTION_ALLOCATES},
        {"newDeviceBuffer", FUNCTION_ALLOCATES},
        {"Tensor.zeros_like", FUNCTION_ALLOCATES},
        {"get_tensor2", FUNCTION_ALLOCATES},
        {"make_session(int)", FUNCTION_MAKES},
        {"Arena::get(unsigned long)", FUNCTION_MAKES},
        {"handleRequest", FUNCTION_MAKES},
        {"Pool.take", FUNCTION_MAKES},
        {"std::__detail::_MakeUniq<B>::__single_object std::make_unique<B, int>(int&&)",
         FUNCTION_OF_LIBRARY},
        {"thrust::device_vector<int>::device_vector()", FUNCTION_OF_LIBRARY},
        {"clean.<locals>.<listcomp>", FUNCTION_PLAIN},
        {"", FUNCTION_PLAIN},
        {"::", FUNCTION_PLAIN},
        {"a.", FUNCTION_PLAIN},
        {"<", FUNCTION_PLAIN},
        {"x<(::", FUNCTION_PLAIN},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(function_role_of(cases[i].name) == cases[i].role, "%s: %d", cases[i].name,
                  function_role_of(cases[i].name));
}

/** The text of a number in base 6, of at most `room` - 1 letters. */
static void letters(const char *alphabet, unsigned number, char *ret_text, size_t room)
{
    size_t used = 0;

    for (; number && used + 1 < room; number /= 6)
        ret_text[used++] = alphabet[number % 6];
    ret_text[used] = '\0';
}

Test(glob, fits_as_fnmatch)
{
    for (unsigned i = 0; i < 6 * 6 * 6 * 6 * 6; i++)
        for (unsigned k = 0; k < 6 * 6 * 6; k++) {
            char glob[8], text[8];

            letters("a*b*?\\", i, glob, sizeof glob);
            letters("abaab.", k, text, sizeof text);
            cr_assert_eq(glob_fits(glob, text, NULL), fnmatch(glob, text, 0) == 0, "%s of %s", glob,
                         text);
        }
    cr_expect(glob_fits("x[ab]*", "xbc", NULL) && !glob_fits("x[ab]*", "xc", NULL));
}

Test(glob, work_is_limited)
{
    struct glob_work work = {.left = 20};

    cr_expect(glob_fits("a*", "abc", &work) && !glob_fits("b*", "abc", &work) && !work.spent);
    cr_expect(!glob_fits("*?*?*?*?*?", "abcdefghijklmnopqrstuvwxyz", &work) && work.spent);
    cr_expect(!glob_fits("a*", "abc", &work), "nothing fits from then on");
}
