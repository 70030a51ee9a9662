/**
 * configure - fills in what the command line left open from the configuration file.
 *
 *   Owner    strings stay the settings'; a longer list of excludes is malloc'ed (the old one stays
 *            whose it was: compare the pointers before freeing)
 */
#ifndef UR_CLI_CONFIGURE_H
#define UR_CLI_CONFIGURE_H

#include "cli/options.h"
#include "engine/settings.h"

void ur_configure(const struct ur_settings *settings, struct ur_cli_options *options);
/** What one folder of the file says for itself; drain deletes unless told otherwise. */
void ur_configure_folder(const struct ur_settings_folder *folder, struct ur_cli_options *options);

/** What `serve` takes from the file: where it listens and delivers, and its limits. */
void ur_configure_gateway(const struct ur_settings *settings, struct ur_cli_options *options);

#endif
