/* TN_SANITIZED: whether this is an ASan, TSan or MSan build, in which memory limits mean nothing and much work
 * takes long. TN_THREAD_SANITIZED: whether it is the TSan build, which looks for races alone. */
#ifndef TN_TEST_SANITIZED_H
#define TN_TEST_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TN_SANITIZED 1
#endif
#endif
#ifndef TN_SANITIZED
#define TN_SANITIZED 0
#endif
#if defined(__SANITIZE_THREAD__)
#define TN_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TN_THREAD_SANITIZED 1
#endif
#endif
#ifndef TN_THREAD_SANITIZED
#define TN_THREAD_SANITIZED 0
#endif

#endif
