/* notify.h - tells the service manager how we are (sd_notify(3)). */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

/* "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "STOPPING=1". Without
 * NOTIFY_SOCKET in the environment nothing happens. */
void notify_send(const char *state);

#endif
