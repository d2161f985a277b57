/* The first process of a pod: it holds the pod's namespaces, buries orphans when the pod shares its processes, and ends when told. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int number) {
	(void)number;
	_exit(0);
}

int main(void) {
	struct sigaction action = {.sa_handler = finish};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* Children of one who ignores this signal are buried by the kernel. */
	action.sa_handler = SIG_IGN;
	action.sa_flags = SA_NOCLDWAIT;
	sigaction(SIGCHLD, &action, NULL);
	for (;;)
		pause();
}
