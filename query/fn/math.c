/* query/fn/math.c - arithmetic and mathematical functions. */
#include <math.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* ---- Integers: all widths in 64 bits, checked against the result's type ---- */

static err_t
int_result(const struct call *call, int64_t value, bool has_overflowed, struct datum *out)
{
    const struct type *type = call->expr->type;
    int64_t most = type->length == 2 ? INT16_MAX : type->length == 4 ? INT32_MAX : INT64_MAX;

    if (has_overflowed || value > most || value < -most - 1) {
        return sql_error("22003", "%s out of range", type->display);
    }
    out->i = value;
    return ERR_OK;
}

static err_t
int_add(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t value;
    bool over = __builtin_add_overflow(args[0].i, args[1].i, &value);

    return int_result(call, value, over, out);
}

static err_t
int_subtract(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t value;
    bool over = __builtin_sub_overflow(args[0].i, args[1].i, &value);

    return int_result(call, value, over, out);
}

static err_t
int_multiply(struct call *call, const struct datum *args, struct datum *out)
{
    int64_t value;
    bool over = __builtin_mul_overflow(args[0].i, args[1].i, &value);

    return int_result(call, value, over, out);
}

static err_t
division_by_zero(void)
{
    return sql_error("22012", "division by zero");
}

static err_t
int_divide(struct call *call, const struct datum *args, struct datum *out)
{
    if (args[1].i == 0) {
        return division_by_zero();
    }
    if (args[1].i == -1) {
        return int_result(call, (int64_t)(0 - (uint64_t)args[0].i), args[0].i == INT64_MIN, out);
    }
    return int_result(call, args[0].i / args[1].i, false, out);
}

static err_t
int_modulo(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    if (args[1].i == 0) {
        return division_by_zero();
    }
    out->i = args[1].i == -1 ? 0 : args[0].i % args[1].i;
    return ERR_OK;
}

static err_t
int_negate(struct call *call, const struct datum *args, struct datum *out)
{
    return int_result(call, (int64_t)(0 - (uint64_t)args[0].i), args[0].i == INT64_MIN, out);
}

static err_t
int_abs(struct call *call, const struct datum *args, struct datum *out)
{
    return args[0].i < 0 ? int_negate(call, args, out) : int_result(call, args[0].i, false, out);
}

static err_t
same(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    *out = args[0];
    return ERR_OK;
}

static err_t
int_and(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = args[0].i & args[1].i;
    return ERR_OK;
}

static err_t
int_or(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = args[0].i | args[1].i;
    return ERR_OK;
}

static err_t
int_xor(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = args[0].i ^ args[1].i;
    return ERR_OK;
}

static err_t
int_not(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = ~args[0].i;
    return ERR_OK;
}

/* The width of the type counts, as in C. */
static err_t
int_shift_left(struct call *call, const struct datum *args, struct datum *out)
{
    unsigned bits = (unsigned)call->expr->type->length * 8;
    uint64_t value = (uint64_t)args[0].i << ((uint64_t)args[1].i & (bits - 1));

    out->i = bits == 16 ? (int16_t)value : bits == 32 ? (int32_t)value : (int64_t)value;
    return ERR_OK;
}

static err_t
int_shift_right(struct call *call, const struct datum *args, struct datum *out)
{
    unsigned bits = (unsigned)call->expr->type->length * 8;

    out->i = args[0].i >> ((uint64_t)args[1].i & (bits - 1));
    return ERR_OK;
}

static err_t
int_gcd(struct call *call, const struct datum *args, struct datum *out)
{
    uint64_t a = args[0].i < 0 ? 0 - (uint64_t)args[0].i : (uint64_t)args[0].i;
    uint64_t b = args[1].i < 0 ? 0 - (uint64_t)args[1].i : (uint64_t)args[1].i;

    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return int_result(call, (int64_t)a, a > INT64_MAX, out);
}

static err_t
int_lcm(struct call *call, const struct datum *args, struct datum *out)
{
    struct datum gcd = {.i = 0};
    int64_t value;
    bool over;
    err_t err = int_gcd(call, args, &gcd);

    if (err != ERR_OK || gcd.i == 0) {
        out->i = 0;
        return err;
    }
    over = __builtin_mul_overflow(args[0].i / gcd.i, args[1].i, &value) || value == INT64_MIN;
    return int_result(call, over ? 0 : value < 0 ? -value : value, over, out);
}

static err_t
int_factorial(struct call *call, const struct datum *args, struct datum *out)
{
    return numeric_factorial(call->arena, args[0].i, &out->n);
}

/* ---- Floating point ---- */

static err_t
float_result(const struct call *call, double value, bool may_be_infinite, bool may_be_zero,
             struct datum *out)
{
    if (call->expr->type->oid == OID_FLOAT4) {
        value = (double)(float)value;
    }
    if (isinf(value) && !may_be_infinite) {
        return sql_error("22003", "value out of range: overflow");
    }
    if (value == 0 && !may_be_zero) {
        return sql_error("22003", "value out of range: underflow");
    }
    out->f = value;
    return ERR_OK;
}

static bool
any_infinite(const struct datum *args)
{
    return isinf(args[0].f) || isinf(args[1].f);
}

static err_t
float_add(struct call *call, const struct datum *args, struct datum *out)
{
    return float_result(call, args[0].f + args[1].f, any_infinite(args), true, out);
}

static err_t
float_subtract(struct call *call, const struct datum *args, struct datum *out)
{
    return float_result(call, args[0].f - args[1].f, any_infinite(args), true, out);
}

static err_t
float_multiply(struct call *call, const struct datum *args, struct datum *out)
{
    return float_result(call, args[0].f * args[1].f, any_infinite(args),
                        args[0].f == 0 || args[1].f == 0, out);
}

static err_t
float_divide(struct call *call, const struct datum *args, struct datum *out)
{
    if (args[1].f == 0 && !isnan(args[0].f)) {
        return division_by_zero();
    }
    return float_result(call, args[0].f / args[1].f, isinf(args[0].f),
                        args[0].f == 0 || isinf(args[1].f), out);
}

static err_t
float_negate(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->f = -args[0].f;
    return ERR_OK;
}

#define FLOAT_FUNCTION(name, expression)                                                           \
    static err_t float_##name(struct call *call, const struct datum *args, struct datum *out)      \
    {                                                                                              \
        double x = args[0].f;                                                                      \
                                                                                                   \
        return float_result(call, (expression), isinf(x), true, out);                              \
    }
FLOAT_FUNCTION(abs, fabs(x))
FLOAT_FUNCTION(ceil, ceil(x))
FLOAT_FUNCTION(floor, floor(x))
FLOAT_FUNCTION(round, rint(x))
FLOAT_FUNCTION(trunc, trunc(x))
FLOAT_FUNCTION(sign, x > 0 ? 1 : x < 0 ? -1 : x)
FLOAT_FUNCTION(cbrt, cbrt(x))
FLOAT_FUNCTION(degrees, x *(180.0 / M_PI))
FLOAT_FUNCTION(radians, x *(M_PI / 180.0))
FLOAT_FUNCTION(atan, atan(x))
FLOAT_FUNCTION(sinh, sinh(x))
FLOAT_FUNCTION(cosh, cosh(x))
FLOAT_FUNCTION(tanh, tanh(x))
FLOAT_FUNCTION(asinh, asinh(x))

static err_t
input_out_of_range(void)
{
    return sql_error("22003", "input is out of range");
}

#define FLOAT_BOUNDED(name, is_refused, expression)                                                \
    static err_t float_##name(struct call *call, const struct datum *args, struct datum *out)      \
    {                                                                                              \
        double x = args[0].f;                                                                      \
                                                                                                   \
        if (is_refused) {                                                                          \
            return input_out_of_range();                                                           \
        }                                                                                          \
        return float_result(call, (expression), true, true, out);                                  \
    }
FLOAT_BOUNDED(sin, isinf(x), sin(x))
FLOAT_BOUNDED(cos, isinf(x), cos(x))
FLOAT_BOUNDED(tan, isinf(x), tan(x))
FLOAT_BOUNDED(cot, isinf(x), 1 / tan(x))
FLOAT_BOUNDED(asin, x<-1 || x> 1, asin(x))
FLOAT_BOUNDED(acos, x<-1 || x> 1, acos(x))
FLOAT_BOUNDED(acosh, x < 1, acosh(x))
FLOAT_BOUNDED(atanh, x<-1 || x> 1, atanh(x))

static err_t
float_atan2(struct call *call, const struct datum *args, struct datum *out)
{
    return float_result(call, atan2(args[0].f, args[1].f), true, true, out);
}

static err_t
float_sqrt(struct call *call, const struct datum *args, struct datum *out)
{
    if (args[0].f < 0) {
        return sql_error("2201F", "cannot take square root of a negative number");
    }
    return float_result(call, sqrt(args[0].f), isinf(args[0].f), args[0].f == 0, out);
}

static err_t
float_exp(struct call *call, const struct datum *args, struct datum *out)
{
    return float_result(call, exp(args[0].f), isinf(args[0].f), isinf(args[0].f), out);
}

static err_t
logarithm_check(double x)
{
    if (x == 0) {
        return sql_error("2201E", "cannot take logarithm of zero");
    }
    return x < 0 ? sql_error("2201E", "cannot take logarithm of a negative number") : ERR_OK;
}

static err_t
float_ln(struct call *call, const struct datum *args, struct datum *out)
{
    err_t err = logarithm_check(args[0].f);

    return err != ERR_OK ? err : float_result(call, log(args[0].f), isinf(args[0].f), true, out);
}

static err_t
float_log10(struct call *call, const struct datum *args, struct datum *out)
{
    err_t err = logarithm_check(args[0].f);

    return err != ERR_OK ? err : float_result(call, log10(args[0].f), isinf(args[0].f), true, out);
}

static err_t
float_power(struct call *call, const struct datum *args, struct datum *out)
{
    double a = args[0].f, b = args[1].f;

    if (a == 0 && b < 0) {
        return sql_error("2201F", "zero raised to a negative power is undefined");
    }
    if (a < 0 && !isinf(a) && !isinf(b) && floor(b) != b) {
        return sql_error("2201F",
                         "a negative number raised to a non-integer power yields a complex "
                         "result");
    }
    return float_result(call, pow(a, b), any_infinite(args), any_infinite(args) || a == 0, out);
}

static err_t
float_pi(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->f = M_PI;
    return ERR_OK;
}

static err_t
float_random(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->f = (double)(prng_next(shard_prng()) >> 11) * 0x1.0p-53;
    return ERR_OK;
}

/* ---- numeric ---- */

#define NUMERIC_2(name, function)                                                                  \
    static err_t numeric_##name##_run(struct call *call, const struct datum *args,                 \
                                      struct datum *out)                                           \
    {                                                                                              \
        return function(call->arena, args[0].n, args[1].n, &out->n);                               \
    }
#define NUMERIC_1(name, function)                                                                  \
    static err_t numeric_##name##_run(struct call *call, const struct datum *args,                 \
                                      struct datum *out)                                           \
    {                                                                                              \
        return function(call->arena, args[0].n, &out->n);                                          \
    }
NUMERIC_2(add, numeric_add)
NUMERIC_2(subtract, numeric_subtract)
NUMERIC_2(multiply, numeric_multiply)
NUMERIC_2(divide, numeric_divide)
NUMERIC_2(modulo, numeric_modulo)
NUMERIC_2(div, numeric_divide_integer)
NUMERIC_2(power, numeric_power)
NUMERIC_2(log, numeric_log)
NUMERIC_2(gcd, numeric_gcd)
NUMERIC_2(lcm, numeric_lcm)
NUMERIC_1(negate, numeric_negate)
NUMERIC_1(floor, numeric_floor)
NUMERIC_1(ceil, numeric_ceiling)
NUMERIC_1(sqrt, numeric_sqrt)
NUMERIC_1(exp, numeric_exp)
NUMERIC_1(ln, numeric_ln)

static err_t
numeric_abs_run(struct call *call, const struct datum *args, struct datum *out)
{
    if (numeric_sign(args[0].n) >= 0) {
        *out = args[0];
        return ERR_OK;
    }
    return numeric_negate(call->arena, args[0].n, &out->n);
}

static err_t
numeric_sign_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->n = args[0].n.kind == NUMERIC_NAN ? args[0].n : numeric_from_int(numeric_sign(args[0].n));
    return ERR_OK;
}

static err_t
numeric_round_run(struct call *call, const struct datum *args, struct datum *out)
{
    int32_t scale = call->arg_count > 1 ? (int32_t)args[1].i : 0;

    return numeric_round(call->arena, args[0].n, scale, &out->n);
}

static err_t
numeric_trunc_run(struct call *call, const struct datum *args, struct datum *out)
{
    int32_t scale = call->arg_count > 1 ? (int32_t)args[1].i : 0;

    return numeric_truncate(call->arena, args[0].n, scale, &out->n);
}

static err_t
numeric_log10_run(struct call *call, const struct datum *args, struct datum *out)
{
    return numeric_log(call->arena, numeric_from_int(10), args[0].n, &out->n);
}

static err_t
numeric_scale_run(struct call *call, const struct datum *args, struct datum *out)
{
    call->is_null = !numeric_is_finite(args[0].n);
    out->i = args[0].n.scale;
    return ERR_OK;
}

static err_t
numeric_min_scale_run(struct call *call, const struct datum *args, struct datum *out)
{
    call->is_null = !numeric_is_finite(args[0].n);
    out->i = numeric_min_scale(args[0].n);
    return ERR_OK;
}

static err_t
numeric_trim_scale_run(struct call *call, const struct datum *args, struct datum *out)
{
    if (!numeric_is_finite(args[0].n)) {
        *out = args[0];
        return ERR_OK;
    }
    return numeric_round(call->arena, args[0].n, (int32_t)numeric_min_scale(args[0].n), &out->n);
}

/* ---- The table ---- */

#define FN(op, fname, res, nargs, code, ...)                                                       \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define INT_OP(op, verb, code)                                                                     \
    FN(op, "int2" verb, OID_INT2, 2, code, OID_INT2, OID_INT2),                                    \
        FN(op, "int4" verb, OID_INT4, 2, code, OID_INT4, OID_INT4),                                \
        FN(op, "int8" verb, OID_INT8, 2, code, OID_INT8, OID_INT8),                                \
        FN(op, "int24" verb, OID_INT4, 2, code, OID_INT2, OID_INT4),                               \
        FN(op, "int42" verb, OID_INT4, 2, code, OID_INT4, OID_INT2),                               \
        FN(op, "int28" verb, OID_INT8, 2, code, OID_INT2, OID_INT8),                               \
        FN(op, "int82" verb, OID_INT8, 2, code, OID_INT8, OID_INT2),                               \
        FN(op, "int48" verb, OID_INT8, 2, code, OID_INT4, OID_INT8),                               \
        FN(op, "int84" verb, OID_INT8, 2, code, OID_INT8, OID_INT4)
#define INT_SAME(op, verb, code)                                                                   \
    FN(op, "int2" verb, OID_INT2, 2, code, OID_INT2, OID_INT2),                                    \
        FN(op, "int4" verb, OID_INT4, 2, code, OID_INT4, OID_INT4),                                \
        FN(op, "int8" verb, OID_INT8, 2, code, OID_INT8, OID_INT8)
#define INT_SHIFT(op, verb, code)                                                                  \
    FN(op, "int2" verb, OID_INT2, 2, code, OID_INT2, OID_INT4),                                    \
        FN(op, "int4" verb, OID_INT4, 2, code, OID_INT4, OID_INT4),                                \
        FN(op, "int8" verb, OID_INT8, 2, code, OID_INT8, OID_INT4)
#define INT_1(op, fname, code)                                                                     \
    FN(op, fname, OID_INT2, 1, code, OID_INT2), FN(op, fname, OID_INT4, 1, code, OID_INT4),        \
        FN(op, fname, OID_INT8, 1, code, OID_INT8)
#define FLOAT_OP(op, verb, code)                                                                   \
    FN(op, "float4" verb, OID_FLOAT4, 2, code, OID_FLOAT4, OID_FLOAT4),                            \
        FN(op, "float8" verb, OID_FLOAT8, 2, code, OID_FLOAT8, OID_FLOAT8),                        \
        FN(op, "float48" verb, OID_FLOAT8, 2, code, OID_FLOAT4, OID_FLOAT8),                       \
        FN(op, "float84" verb, OID_FLOAT8, 2, code, OID_FLOAT8, OID_FLOAT4)
#define FLOAT_1(op, fname, code)                                                                   \
    FN(op, fname, OID_FLOAT4, 1, code, OID_FLOAT4), FN(op, fname, OID_FLOAT8, 1, code, OID_FLOAT8)
#define DOUBLE_1(fname, code)       FN(NULL, fname, OID_FLOAT8, 1, code, OID_FLOAT8)
#define NUMERIC_OP(op, fname, code) FN(op, fname, OID_NUMERIC, 2, code, OID_NUMERIC, OID_NUMERIC)
#define NUMERIC_FN(op, fname, code) FN(op, fname, OID_NUMERIC, 1, code, OID_NUMERIC)

static const struct operator_row rows[] = {
    INT_OP("+", "pl", int_add),
    INT_OP("-", "mi", int_subtract),
    INT_OP("*", "mul", int_multiply),
    INT_OP("/", "div", int_divide),
    INT_SAME("%", "mod", int_modulo),
    INT_SAME("&", "and", int_and),
    INT_SAME("|", "or", int_or),
    INT_SAME("#", "xor", int_xor),
    INT_SHIFT("<<", "shl", int_shift_left),
    INT_SHIFT(">>", "shr", int_shift_right),
    INT_1("~", "not", int_not),
    INT_1("-", "int_um", int_negate),
    INT_1("+", "int_up", same),
    INT_1("@", "abs", int_abs),
    FN(NULL, "gcd", OID_INT4, 2, int_gcd, OID_INT4, OID_INT4),
    FN(NULL, "gcd", OID_INT8, 2, int_gcd, OID_INT8, OID_INT8),
    FN(NULL, "lcm", OID_INT4, 2, int_lcm, OID_INT4, OID_INT4),
    FN(NULL, "lcm", OID_INT8, 2, int_lcm, OID_INT8, OID_INT8),
    FN(NULL, "mod", OID_INT2, 2, int_modulo, OID_INT2, OID_INT2),
    FN(NULL, "mod", OID_INT4, 2, int_modulo, OID_INT4, OID_INT4),
    FN(NULL, "mod", OID_INT8, 2, int_modulo, OID_INT8, OID_INT8),
    FN(NULL, "factorial", OID_NUMERIC, 1, int_factorial, OID_INT8),
    FLOAT_OP("+", "pl", float_add),
    FLOAT_OP("-", "mi", float_subtract),
    FLOAT_OP("*", "mul", float_multiply),
    FLOAT_OP("/", "div", float_divide),
    FLOAT_1("-", "float_um", float_negate),
    FLOAT_1("+", "float_up", same),
    FLOAT_1("@", "abs", float_abs),
    DOUBLE_1("ceil", float_ceil),
    DOUBLE_1("ceiling", float_ceil),
    DOUBLE_1("floor", float_floor),
    DOUBLE_1("round", float_round),
    DOUBLE_1("trunc", float_trunc),
    DOUBLE_1("sign", float_sign),
    DOUBLE_1("cbrt", float_cbrt),
    DOUBLE_1("degrees", float_degrees),
    DOUBLE_1("radians", float_radians),
    DOUBLE_1("sin", float_sin),
    DOUBLE_1("cos", float_cos),
    DOUBLE_1("tan", float_tan),
    DOUBLE_1("cot", float_cot),
    DOUBLE_1("asin", float_asin),
    DOUBLE_1("acos", float_acos),
    DOUBLE_1("atan", float_atan),
    DOUBLE_1("sinh", float_sinh),
    DOUBLE_1("cosh", float_cosh),
    DOUBLE_1("tanh", float_tanh),
    DOUBLE_1("asinh", float_asinh),
    DOUBLE_1("acosh", float_acosh),
    DOUBLE_1("atanh", float_atanh),
    DOUBLE_1("sqrt", float_sqrt),
    DOUBLE_1("exp", float_exp),
    DOUBLE_1("ln", float_ln),
    DOUBLE_1("log", float_log10),
    DOUBLE_1("log10", float_log10),
    FN(NULL, "atan2", OID_FLOAT8, 2, float_atan2, OID_FLOAT8, OID_FLOAT8),
    FN("^", "power", OID_FLOAT8, 2, float_power, OID_FLOAT8, OID_FLOAT8),
    FN(NULL, "pow", OID_FLOAT8, 2, float_power, OID_FLOAT8, OID_FLOAT8),
    FN("|/", "dsqrt", OID_FLOAT8, 1, float_sqrt, OID_FLOAT8),
    FN("||/", "dcbrt", OID_FLOAT8, 1, float_cbrt, OID_FLOAT8),
    {NULL, {.name = "pi", .result = OID_FLOAT8, .is_strict = true, .run = float_pi}},
    {NULL,
     {.name = "random",
      .result = OID_FLOAT8,
      .is_strict = true,
      .is_volatile = true,
      .run = float_random}},
    NUMERIC_OP("+", "numeric_add", numeric_add_run),
    NUMERIC_OP("-", "numeric_sub", numeric_subtract_run),
    NUMERIC_OP("*", "numeric_mul", numeric_multiply_run),
    NUMERIC_OP("/", "numeric_div", numeric_divide_run),
    NUMERIC_OP("%", "mod", numeric_modulo_run),
    NUMERIC_OP("^", "power", numeric_power_run),
    NUMERIC_OP(NULL, "pow", numeric_power_run),
    NUMERIC_OP(NULL, "div", numeric_div_run),
    NUMERIC_OP(NULL, "log", numeric_log_run),
    NUMERIC_OP(NULL, "gcd", numeric_gcd_run),
    NUMERIC_OP(NULL, "lcm", numeric_lcm_run),
    NUMERIC_FN("-", "numeric_uminus", numeric_negate_run),
    NUMERIC_FN("+", "numeric_uplus", same),
    NUMERIC_FN("@", "abs", numeric_abs_run),
    NUMERIC_FN(NULL, "sign", numeric_sign_run),
    NUMERIC_FN(NULL, "floor", numeric_floor_run),
    NUMERIC_FN(NULL, "ceil", numeric_ceil_run),
    NUMERIC_FN(NULL, "ceiling", numeric_ceil_run),
    NUMERIC_FN(NULL, "sqrt", numeric_sqrt_run),
    NUMERIC_FN(NULL, "exp", numeric_exp_run),
    NUMERIC_FN(NULL, "ln", numeric_ln_run),
    NUMERIC_FN(NULL, "log", numeric_log10_run),
    NUMERIC_FN(NULL, "log10", numeric_log10_run),
    NUMERIC_FN(NULL, "round", numeric_round_run),
    NUMERIC_FN(NULL, "trunc", numeric_trunc_run),
    NUMERIC_FN(NULL, "trim_scale", numeric_trim_scale_run),
    FN(NULL, "round", OID_NUMERIC, 2, numeric_round_run, OID_NUMERIC, OID_INT4),
    FN(NULL, "trunc", OID_NUMERIC, 2, numeric_trunc_run, OID_NUMERIC, OID_INT4),
    FN(NULL, "scale", OID_INT4, 1, numeric_scale_run, OID_NUMERIC),
    FN(NULL, "min_scale", OID_INT4, 1, numeric_min_scale_run, OID_NUMERIC),
};

const struct function_part fn_part_math = {rows, sizeof(rows) / sizeof(rows[0])};
