/* engine/base/poison.h - included last by every .c file of shard code: bans what would go past
 * the accountant or the io seam. */
#pragma once

#pragma GCC poison malloc calloc realloc strdup strndup asprintf vasprintf
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok
#pragma GCC poison time gettimeofday clock_gettime rand srand random usleep nanosleep
#pragma GCC poison mmap pthread_create fopen
