#!/usr/bin/perl

# The theme names that cPanel-style scripts take from this module.

use strict;
use warnings;
use Test::More tests => 5;

use Cpanel::Config::Constants ();

is( $Cpanel::Config::Constants::DEFAULT_CPANEL_THEME,           'jupiter', 'cpanel' );
is( $Cpanel::Config::Constants::DEFAULT_CPANEL_MAILONLY_THEME,  'jupiter', 'cpanel, mail only' );
is( $Cpanel::Config::Constants::DEFAULT_WEBMAIL_THEME,          'jupiter', 'webmail' );
is( $Cpanel::Config::Constants::DEFAULT_WEBMAIL_MAILONLY_THEME, 'jupiter', 'webmail, mail only' );
ok( !Cpanel::Config::Constants->can('import'), 'nothing is exported' );
