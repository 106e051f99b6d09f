/* models/script/commands.h - the functions that the command table names. */
#pragma once

#include "engine/rt/fiber.h"

struct kv_request;

/* eval.c */
YIELDS void script_command_eval(struct kv_request *request);
YIELDS void script_command_evalsha(struct kv_request *request);
/* script_commands.c */
YIELDS void script_command_load(struct kv_request *request);
YIELDS void script_command_exists(struct kv_request *request);
YIELDS void script_command_flush(struct kv_request *request);
YIELDS void script_command_kill(struct kv_request *request);
YIELDS void script_command_debug(struct kv_request *request);
YIELDS void script_command_help(struct kv_request *request);
/* function_commands.c */
YIELDS void script_command_fcall(struct kv_request *request);
YIELDS void script_command_function_load(struct kv_request *request);
YIELDS void script_command_function_delete(struct kv_request *request);
YIELDS void script_command_function_flush(struct kv_request *request);
YIELDS void script_command_function_list(struct kv_request *request);
YIELDS void script_command_function_stats(struct kv_request *request);
YIELDS void script_command_function_dump(struct kv_request *request);
YIELDS void script_command_function_restore(struct kv_request *request);
YIELDS void script_command_function_help(struct kv_request *request);
